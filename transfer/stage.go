package transfer

import "time"

// StageLook is how long after a look at files that were asked of an archive
// the next one is worth its requests: an eighth of the time that they have
// been waited for, between ten seconds and ten minutes. Archives answer after
// minutes, hours or days, and who has waited for hours can wait for minutes.
func StageLook(waited time.Duration) time.Duration {
	return max(10*time.Second, min(waited/8, 10*time.Minute))
}
