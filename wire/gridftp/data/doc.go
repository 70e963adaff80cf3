// Package data moves bytes over GridFTP's data connections, for client and
// server alike: it listens and dials, secures connections through package gsi,
// keeps them for the next file, and sends and receives in stream mode (RFC 959,
// 3.4.1) and extended block mode (GFD.20, 3.4; "MODE E").
//
// A Set is the connections between this side and one peer. It is passive, with
// a Listener, or active, with an address to dial. In extended block mode the
// sender dials and the receiver listens, always; in stream mode either may.
// One transfer runs over a Set at a time; after a transfer that failed, a Set
// is closed, because the bytes still under way belong to no one.
//
// What is said on the control connection is not known here, and neither are
// files: a Source gives bytes, an io.WriterAt takes them.
package data
