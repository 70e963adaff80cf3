package gridftp

import "strings"

// A telnetRule says how names travel over an unprotected control connection.
// RFC 959 (5.3.1) makes that a Telnet connection, in which the byte 255
// announces a command of Telnet's and is doubled to mean itself (RFC 854).
// Protected commands are no part of it.
type telnetRule int

// The rules, by what the servers were seen to do.
const (
	// telnetRefused: 255 sent either way, the server might act on another name.
	telnetRefused telnetRule = iota
	telnetDoubled            // as the RFC says: proftpd
	telnetRaw                // as any other byte: vsftpd
	// telnetPrintable: the Globus server leaves out, without a word, every byte
	// that is not printable ASCII or a tab. "ä" and "ö" would be one name.
	telnetPrintable
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
	case strings.Contains(greeting, "GridFTP Server "):
		return telnetPrintable
	}
	return telnetRefused
}

// Carries reports whether a name arrives as it is in commands of this session.
func (c *Client) Carries(name string) bool {
	switch {
	case c.ctl.session != nil:
		return true
	case c.ctl.telnet == telnetRefused:
		return !strings.Contains(name, iac)
	case c.ctl.telnet == telnetPrintable:
		for i := range len(name) {
			if b := name[i]; b != '\t' && (b < ' ' || b > '~') {
				return false
			}
		}
	}
	return true
}

// checkName refuses names that would not arrive as they are.
func (c *Client) checkName(names ...string) error {
	if err := checkName(names...); err != nil {
		return err
	}
	for _, name := range names {
		if !c.Carries(name) {
			return &NameError{Name: name, Telnet: true}
		}
	}
	return nil
}
