package endpoints

import "errors"

// ErrDataBlocked is in the chain of the Transient error with which Send ends
// when both servers answered on their control channels and no data channel
// between them came up: a firewall, an address that only one of them can
// reach. The error names the addresses and ports. Trying again does not help,
// a relay may; so a driver returns it within a minute, for the first file of a
// run, and leaves a channel that worked before to ordinary Transient errors.
var ErrDataBlocked = errors.New("no data channel between the servers")
