package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// mostSwept is how many directories of other checks one check removes.
const mostSwept = 20

// sweep removes what checks have left that died, and that nobody else removes.
// It is no fault of the endpoint if that cannot be.
func (v *visit) sweep() {
	if v.o.Write == "" || v.o.Over == nil {
		return
	}
	v.look("left by other checks", "", func(ctx context.Context) answer {
		var found []string
		err := v.list(ctx, v.o.Write, func(at thing) {
			if at.entry.Type == endpoints.Dir && len(found) < mostSwept && v.o.Over(at.entry.Name) {
				found = append(found, at.path)
			}
		})
		if err != nil {
			return untried(err.Error(), "")
		}
		slices.Sort(found) // storages list in any order
		for i, dir := range found {
			if _, err := v.removeTree(ctx, dir); err != nil && !fault.Is(err, fault.NotFound) {
				return untried(fmt.Sprintf("%d of %d removed: %v", i, len(found), err), clip(dir)+" is left: remove it by hand")
			}
		}
		if len(found) == 0 {
			return works("nothing", "")
		}
		return works(fmt.Sprintf("%d removed: %s", len(found), strings.Join(found, ", ")), "")
	})
}
