package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Which objects have to be asked for, by what a store says of them.
func TestArchivedObjects(t *testing.T) {
	for _, c := range []struct {
		class   types.StorageClass
		status  types.ArchiveStatus
		restore string
		want    bool
	}{
		{"", "", "", false},
		{types.StorageClassStandardIa, "", "", false},
		{types.StorageClassGlacierIr, "", "", false}, // archived, and read at once
		{types.StorageClassGlacier, "", "", true},
		{types.StorageClassDeepArchive, "", `ongoing-request="true"`, true},
		{types.StorageClassDeepArchive, "", `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`, false},
		{types.StorageClassIntelligentTiering, "", "", false},
		{types.StorageClassIntelligentTiering, types.ArchiveStatusArchiveAccess, "", true},
		{types.StorageClassIntelligentTiering, types.ArchiveStatusDeepArchiveAccess, `ongoing-request="true"`, true},
	} {
		if got := archived(c.class, c.status, c.restore); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
