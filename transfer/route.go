package transfer

import (
	"fmt"

	"github.com/gridferry/gridferry/fault"
)

// The task queues. Workflows, records and mail run on QueueControl, drivers
// that need nothing but a network on QueueData, and endpoints bound to one
// host on that host's SiteQueue.
const (
	QueueControl = "gridferry"
	QueueData    = "gridferry-data"
)

// SiteQueue is the task queue of the worker at one host.
func SiteQueue(site string) string { return "gridferry-site-" + site }

// EndFacts is what choosing a route has to know of an end.
type EndFacts struct {
	Endpoint string // as in Location, for messages
	Kind     string // driver: "gridftp", "posix", ...
	Site     string // the host it is bound to; empty when any worker reaches it
}

// Queue returns the task queue of the workers that reach both ends. Unsupported
// when there can be none.
func Queue(src, dst EndFacts) (string, error) {
	switch {
	case src.Site == "" && dst.Site == "":
		return QueueData, nil
	case src.Site != "" && dst.Site != "" && src.Site != dst.Site:
		return "", &fault.Error{
			Kind: fault.Unsupported, Op: "find a worker for", Path: src.Endpoint + " and " + dst.Endpoint,
			Err:  fmt.Errorf("they are bound to two hosts, %s and %s, and no worker reaches both", src.Site, dst.Site),
			Hint: fmt.Sprintf("run \"gridferryd gridftp\" on %s or on %s, and name that end by its gsiftp:// URL", src.Site, dst.Site),
		}
	case src.Site != "":
		return SiteQueue(src.Site), nil
	}
	return SiteQueue(dst.Site), nil
}

// ChooseRoute decides how the bytes go. apart is why the source cannot send
// straight to the destination, as endpoints.ThirdParty tells it; nil when it
// can. Unsupported when the rule or the ends leave no way.
func ChooseRoute(src, dst EndFacts, apart error, rule RouteRule) (Route, error) {
	queue, err := Queue(src, dst)
	if err != nil {
		return Route{}, err
	}
	switch rule = canonical(rule, routeNames); {
	case rule == RouteRelay:
		return Route{RouteRelay, queue, "relayed, as asked"}, nil
	case apart == nil:
		return Route{RouteThirdParty, queue, "straight from server to server"}, nil
	case rule == RouteThirdParty:
		return Route{}, &fault.Error{
			Kind: fault.Unsupported, Op: "send straight from " + src.Endpoint + " to", Path: dst.Endpoint,
			Err: apart, Hint: "leave the route to gridferry, or ask for relay",
		}
	}
	return Route{RouteRelay, queue, "relayed through a worker: " + apart.Error()}, nil
}
