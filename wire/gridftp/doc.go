// Package gridftp speaks GridFTP and the FTP under it: the forms of its
// replies, markers, listings and addresses, and a client for one control
// session, whose centre is the third-party transfer between two servers.
//
// The forms are plain values with a parser and a formatter each, so that a
// server uses the same ones. They are strict about what would lose data and
// lenient about spelling, and all of them have limits: they read what a
// network sent. Errors are the protocol's own (ReplyError, PipelineError,
// StallError); classifying them is for the layer above.
//
// Package gridftp/data, the data channels, is imported by this package and so
// must not import it.
//
// References: RFC 959 (FTP), RFC 2228 (security), RFC 2389 (FEAT), RFC 2428
// (IPv6), RFC 3659 (MLST), GFD.20 and GFD.47 (GridFTP); and, where they
// differ from these, the servers of the Grid Community Toolkit.
package gridftp
