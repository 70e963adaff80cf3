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
// It differs most where files can be mistaken for each other. Clients may send
// many STOR and RETR before the first reply, and a server that refuses one of
// them and goes on would pair the next file's bytes with the wrong name. So a
// refused transfer closes the data channel, and all that follow fail until a
// new one is made.
//
// The server knows one user's files and no operating system accounts. Whom it
// lets in, Config's policies say.
package server
