package secrets

import (
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
)

// History searches an exported history: its JSON, as `temporal workflow show`
// writes it, and each payload as the SDK decodes it.
func (s *Searcher) History(place string, h *historypb.History) ([]Finding, error) {
	text, err := protojson.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", place, err)
	}
	found := s.Search(place, text)
	decode := converter.GetDefaultDataConverter()
	err = proxy.VisitPayloads(context.Background(), h, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, all []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range all {
				found = merge(found, s.Search(place+", payload", []byte(decode.ToString(p))))
				found = merge(found, s.Search(place+", payload", p.GetData()))
			}
			return all, nil
		},
	})
	return found, err
}
