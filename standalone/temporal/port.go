package temporal

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// freePort picks a port on which nothing listens, below those that Linux gives
// to outgoing connections: the server takes it some moments later.
func freePort(host string) (int, error) {
	for range 100 {
		port := 10000 + rand.IntN(10000)
		if listenable(host, port) == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 10000 and 20000 on " + host)
}

func listenable(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
