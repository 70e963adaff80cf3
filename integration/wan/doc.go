// Package wan is a wide-area network on one machine: network namespaces joined
// by TUN devices, whose packets are held back, limited in rate, and lost as the
// test wants it. It does in user space what the kernel's netem does, which many
// kernels lack, and so costs CPU time: about half a CPU for a Gb/s.
package wan
