// Package renewal shows what becomes of a transfer whose credential ends before
// it does: proxies of a minute under a transfer of several, between real GridFTP
// servers on a slow line. It is suspended at its ledger, its owner gets one
// mail, a fresh proxy is activated, and it goes on, sending nothing again that
// was finished.
//
// GRIDFERRY_SOAK=1 makes it as long as the bars ask; an ordinary run has
// shorter proxies and less to move.
package renewal
