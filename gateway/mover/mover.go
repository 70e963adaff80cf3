// Package mover is the door for workers that have no store: hosts that only
// move data, and the worker inside a command that transfers its user's files.
// It holds both sides: handlers that are mounted on package api's listener, and
// a client that is to such a worker its leases, its blobs, the records of
// endpoints and the credentials of the task at hand.
//
// A mover, whose certificate the site has listed, touches leases and blobs of
// all tasks. Anybody else touches those of a running task of his own, and
// names it in every request.
//
// No private key travels: the worker makes one for each task and end, and the
// service signs a proxy for it with the credential that the owner has
// activated. So the worker has what it needs while it needs it, and neither a
// listener on the way nor a log can hold more than certificates.
package mover

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// Prefix is the path that the handler is mounted under.
const Prefix = "/v1/worker/"

// The paths, all below Prefix. Every request names its task in the query as
// "task", but those of movers for blobs and leases, which are for any.
const (
	pathStore      = Prefix + "store"      // GET: storeReply
	pathBlob       = Prefix + "blob"       // GET, PUT with ?key=
	pathBlobs      = Prefix + "blobs"      // GET with ?prefix=&after=: keysMessage
	pathDelete     = Prefix + "delete"     // POST keysMessage
	pathAcquire    = Prefix + "acquire"    // POST activities.LeaseRequest: activities.Lease
	pathRenew      = Prefix + "renew"      // POST activities.Lease
	pathRelease    = Prefix + "release"    // POST activities.Lease
	pathEndpoint   = Prefix + "endpoint"   // GET with ?name=: endpoints.Record
	pathPairs      = Prefix + "pairs"      // GET with ?source= and ?destination=: []transfer.Known; POST knownMessage
	pathCondition  = Prefix + "condition"  // GET: endpoints.Condition
	pathDown       = Prefix + "down"       // POST downMessage
	pathTake       = Prefix + "take"       // POST endpoints.Draw: drawReply
	pathCredential = Prefix + "credential" // POST credentialRequest: credentialReply
)

const (
	// MaxBlob bounds a blob in bytes: ten times a segment of 100,000 files.
	MaxBlob = 256 << 20
	// maxPuts bounds what all blobs that arrive at one moment take in memory.
	maxPuts = 2 * MaxBlob
	// keysAtOnce is how many keys are listed or deleted by one request.
	keysAtOnce = 2000
	// maxReply bounds a reply in JSON, in bytes: that many of the longest keys.
	maxReply = 4 << 20
	// maxTTL bounds the life of a lease that is not renewed: nobody should
	// have to wait longer for somebody who is gone.
	maxTTL = 10 * time.Minute
)

type storeReply struct {
	ID string `json:"id"` // of the blob store
}

type keysMessage struct {
	Keys []string `json:"keys"`
	Next bool     `json:"next,omitempty"` // there are more after the last
}

type credentialRequest struct {
	Owner   string `json:"owner"`
	Domain  string `json:"domain"`
	Request []byte `json:"request,omitempty"` // PKCS #10 in DER; without one, there is no chain in the reply
}

type credentialReply struct {
	Activation transfer.Activation `json:"activation"`
	Chain      [][]byte            `json:"chain,omitempty"` // DER: the proxy, and what it was signed with
}

// Task is what has to be known of a task, or of an operation that somebody
// waits for, to let a worker in.
type Task struct {
	Key       transfer.TaskID // names its leases and blobs (workflows.Key)
	Owner     string
	Endpoints []string // of both ends, as in transfer.Location
	Ended     bool
}

// Tasks finds tasks by the id of their workflow.
type Tasks interface {
	// Task is NotFound when there is none, and Transient when it has not told
	// yet whose it is.
	Task(ctx context.Context, id transfer.TaskID) (Task, error)
}

// Vault has the credentials that owners have activated.
type Vault interface {
	// Open returns a credential in PEM; NotFound when there is none that has
	// not expired.
	Open(ctx context.Context, owner, domain string) (transfer.Activation, []byte, error)
}

// Resolver finds the record behind an endpoint's name or URL.
type Resolver interface {
	Resolve(ctx context.Context, endpoint string) (endpoints.Record, error)
}

var (
	_ activities.Leases = (*Client)(nil)
	_ Vault             = (*Client)(nil)
	_ Resolver          = (*Client)(nil)
)
