// Package workflows tells the story of a transfer, in order: validate,
// activate both ends, walk, copy, delete extras, finish, record. It holds no
// arithmetic (that is transfer's) and has no effect (those are activities').
//
// A pipeline author imports it to make a transfer a step of another workflow;
// see ExecuteTransfer. It therefore links nothing but the Temporal SDK and the
// core of gridferry, which a test guards.
package workflows

import (
	"github.com/google/uuid"
	"github.com/gridferry/gridferry/transfer"
)

// The names of the workflows, as any SDK and the stock command start them.
const (
	TypeTransfer  = "Transfer"
	TypeDelete    = "Delete"
	TypeOperation = "Operation"
	TypeSweep     = "Sweep"
	TypeNotices   = "Notices"
)

// QueryStatus is the query that answers with a transfer.Task.
const QueryStatus = "status"

// What a running task can be told, each as an update and as a signal of the
// same name. An update says no when the task cannot obey; a signal that cannot
// be obeyed is logged and dropped.
const (
	TellPause             = "pause"
	TellResume            = "resume"
	TellCancel            = "cancel"
	TellModify            = "modify" // with a transfer.Change
	TellCredentialRenewed = "credential_renewed"
)

// The types of the application errors that end a workflow.
const (
	ErrorTaskFailed = "TaskFailed" // details: the transfer.Task as it ended
	ErrorInvalid    = "Invalid"    // the input was refused before anything was contacted
)

// MemoTask is the memo field that holds the transfer.Task without its chunks,
// as of the last change of its status.
const MemoTask = "task"

// The search attributes, all keywords. A namespace may have any of them, or
// none: see service.SetupNamespace.
const (
	AttributeOwner       = "GridferryOwner"
	AttributeStatus      = "GridferryStatus"
	AttributeLabel       = "GridferryLabel"
	AttributeSource      = "GridferrySource"
	AttributeDestination = "GridferryDestination"
)

// Attributes lists the search attributes.
func Attributes() []string {
	return []string{AttributeOwner, AttributeStatus, AttributeLabel, AttributeSource, AttributeDestination}
}

// TransferID is the workflow id of a task.
func TransferID(task transfer.TaskID) string { return string(task) }

// Key names what a task keeps outside its history: ledgers, events, results.
// An id that is a UUID names one task for ever. Any other may be used again,
// by a schedule or by hand, and the ledger of the task before must not pass
// for that of this one; firstRun, the id of the first run in the chain, tells
// them apart.
func Key(workflowID, firstRun string) transfer.TaskID {
	if _, err := uuid.Parse(workflowID); err == nil || len(firstRun) < 8 {
		return transfer.TaskID(workflowID)
	}
	return transfer.TaskID(workflowID + "." + firstRun[:8])
}
