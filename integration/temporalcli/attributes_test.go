package temporalcli

import "testing"

func TestATransferIsFoundByItsSearchAttributes(t *testing.T) {
	s := newSite(t, attributes()...)
	s.must(readme(t)["start"])
	s.must("temporal workflow result --workflow-id run7")
	s.awaitListed(`temporal workflow list --query 'GridferryStatus="SUCCEEDED" AND GridferrySource="gsiftp://a.example:2811"'`, "run7")
}
