package storetest_test

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/service/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, now func() time.Time) storetest.Store { return storetest.NewMemory(now) })
}
