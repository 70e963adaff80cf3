package gridftp

import "strings"

// A telnetRule says how the byte 255 travels over an unprotected control
// connection. RFC 959 (5.3.1) makes that a Telnet connection, in which 255
// announces a command of Telnet's and is doubled to mean itself (RFC 854).
// Protected commands are no part of it.
type telnetRule int

// The rules, by what the servers were seen to do.
const (
	// telnetRefused: sent either way, the server might act on another name.
	// The Globus server, besides, takes a name to end at the byte.
	telnetRefused telnetRule = iota
	telnetDoubled            // as the RFC says: proftpd
	telnetRaw                // as any other byte: vsftpd
)

// iac is Telnet's "interpret as command".
const iac = "\xff"

// telnetRuleOf tells the servers apart by how they greet.
func telnetRuleOf(greeting string) telnetRule {
	switch {
	case strings.Contains(greeting, "ProFTPD"):
		return telnetDoubled
	case strings.Contains(greeting, "vsFTPd"):
		return telnetRaw
	}
	return telnetRefused
}

// CarriesAll reports whether names may hold the byte 255 in this session.
func (c *Client) CarriesAll() bool { return c.ctl.session != nil || c.ctl.telnet != telnetRefused }

// checkName refuses names that would not arrive as they are.
func (c *Client) checkName(names ...string) error {
	if err := checkName(names...); err != nil {
		return err
	}
	for _, name := range names {
		if strings.Contains(name, iac) && !c.CarriesAll() {
			return &NameError{Name: name, Telnet: true}
		}
	}
	return nil
}
