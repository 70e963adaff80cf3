// Package server is a GridFTP server over any FileSystem: plain FTP and GSI
// logins, protected control channels, and every data channel that package data
// makes. It answers what globus-url-copy, the Globus server as the other end
// of a third-party transfer, and ordinary FTP clients ask.
//
// One goroutine reads a session's commands ahead, one carries them out in
// their order, and replies leave in that order too. What the Globus server
// says is said here in its words and with its codes, since clients know them;
// where this server differs on purpose, a comment says why.
//
// It differs most where files can be mistaken for each other. A client of a
// third-party transfer may send both servers many commands before the first
// reply; when one server refuses a file, the other, who knows nothing of that,
// goes on, and the next file's bytes get the wrong name. So a refused transfer
// closes a data channel whose other end is not the client itself, and all that
// follow fail until a new one is made. Where the client's own host is the other
// end, the two cannot be told apart, and the channel stays, as it does at the
// Globus server: the clients there would be lost without it.
//
// The server knows one user's files and no operating system accounts. Whom it
// lets in, Config's policies say.
package server
