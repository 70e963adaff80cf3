package activities

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
)

type ctxType = context.Context

var errBlocked = endpoints.ErrDataBlocked
