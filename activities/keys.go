package activities

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

// The layout of the blob store. Everything of a task is below its taskKey, so
// that a sweep removes it by prefix:
//
//	tasks/<task>/facts                        ends, probe and options, for whoever finds an orphan
//	tasks/<task>/walk/<step>-<run>/...        frontiers, spools and pages of unfinished segments
//	tasks/<task>/sheets/<chunk>-<run>         the files of a chunk
//	tasks/<task>/extras/<step>-<run>/<page>   names to delete
//	tasks/<task>/dirs/<step>-<run>/<page>     directory times and modes
//	tasks/<task>/ledgers/<chunk>/<epoch>      what a chunk has durably finished
//	tasks/<task>/late/<chunk>                 that a chunk has files to be verified again
//	tasks/<task>/results/<group>/<page>-<epoch>
//	tasks/<task>/index/<group>-<epoch>        what is in those pages, of groups that are complete
//	tasks/<task>/events/<page>
//	tasks/<task>/settled                      that nothing of it is left to be cleaned up
//
// but for orphans/<task>: that the task has ended and has something left to be
// cleaned up.
//
// A run is one execution of an activity. It is in the key wherever a worker
// that was stopped and continued might otherwise replace what its successor
// has already handed over.

const tasksPrefix = "tasks/"

func taskKey(id transfer.TaskID) string { return tasksPrefix + taskElement(id) + "/" }

// longID is how much of an id stands in a key. A key's element holds 240 bytes,
// and a workflow id may be longer.
const longID = 160

// taskElement is a task's id as an element of a key, which neither begins with
// a dot nor holds a slash.
func taskElement(id transfer.TaskID) string {
	e := strings.ReplaceAll(url.PathEscape(string(id)), ".", "%2E")
	if len(e) > longID {
		sum := sha256.Sum256([]byte(id))
		e = e[:longID] + "~" + hex.EncodeToString(sum[:16])
	}
	return e
}

// elementOfKey returns the task's element of a key.
func elementOfKey(key string) (element string, ok bool) {
	rest, ok := strings.CutPrefix(key, tasksPrefix)
	if !ok {
		return "", false
	}
	element, _, ok = strings.Cut(rest, "/")
	return element, ok
}

// idOfElement undoes taskElement for all but very long ids, whose facts have
// the id itself.
func idOfElement(element string) transfer.TaskID {
	id, err := url.PathUnescape(element)
	if err != nil {
		return transfer.TaskID(element)
	}
	return transfer.TaskID(id)
}

const factsName = "facts"

func factsKey(id transfer.TaskID) string { return taskKey(id) + factsName }

func walkPrefix(id transfer.TaskID, step int, run string) string {
	return fmt.Sprintf("%swalk/%06d-%s/", taskKey(id), step, run)
}

func sheetsPrefix(id transfer.TaskID) string { return taskKey(id) + "sheets/" }

func sheetKey(id transfer.TaskID, chunk, run string) string {
	return sheetsPrefix(id) + chunk + "-" + run
}

func listKey(id transfer.TaskID, list string, step int, run string, page int) string {
	return fmt.Sprintf("%s%s/%06d-%s/%06d", taskKey(id), list, step, run, page)
}

func extrasPrefix(id transfer.TaskID) string { return taskKey(id) + "extras/" }

func ledgersPrefix(id transfer.TaskID) string { return taskKey(id) + "ledgers/" }

func ledgerPrefix(id transfer.TaskID, chunk string) string { return ledgersPrefix(id) + chunk + "/" }

func ledgerKey(id transfer.TaskID, chunk string, epoch int64) string {
	return fmt.Sprintf("%s%019d", ledgerPrefix(id, chunk), epoch)
}

// splitLedgerKey returns the chunk and epoch of a key that ledgerKey made.
func splitLedgerKey(id transfer.TaskID, key string) (chunk string, epoch int64, ok bool) {
	rest, ok := strings.CutPrefix(key, ledgersPrefix(id))
	if !ok {
		return "", 0, false
	}
	chunk, digits, ok := strings.Cut(rest, "/")
	if !ok {
		return "", 0, false
	}
	epoch, err := strconv.ParseInt(digits, 10, 64)
	return chunk, epoch, err == nil
}

func latePrefix(id transfer.TaskID) string { return taskKey(id) + "late/" }

func lateKey(id transfer.TaskID, chunk string) string { return latePrefix(id) + chunk }

func resultsPrefix(id transfer.TaskID) string { return taskKey(id) + "results/" }

// resultsKey names a page of results. Of several epochs of one page, the
// highest counts.
func resultsKey(id transfer.TaskID, group string, page int, epoch int64) string {
	return fmt.Sprintf("%s%s/%06d-%019d", resultsPrefix(id), group, page, epoch)
}

func eventsPrefix(id transfer.TaskID) string { return taskKey(id) + "events/" }

func eventsKey(id transfer.TaskID, page int) string {
	return fmt.Sprintf("%s%08d", eventsPrefix(id), page)
}

func settledKey(id transfer.TaskID) string { return taskKey(id) + "settled" }

const orphansPrefix = "orphans/"

func orphanKey(id transfer.TaskID) string { return orphansPrefix + taskElement(id) }

// newRun names one execution of an activity.
func newRun() string {
	var b [6]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
