package temporal

import (
	"maps"

	"go.temporal.io/server/common/dynamicconfig"
)

// dynamic is what one small server wants differently from a cluster. The
// server ignores an integer that is not an int.
func dynamic(more map[string]any) dynamicconfig.StaticClient {
	conf := dynamicconfig.StaticClient{
		// At 20 polls a second, made for thousands of shards, each hop between
		// a workflow and an activity waits about 50 ms.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   200,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      200,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 200,
		dynamicconfig.OutboundProcessorMaxPollRPS.Key():   200,
		// With one process there is nothing to spread a task queue over, and a
		// task in one partition waits for the poller of another.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// A new search attribute or namespace is seen at once.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		// A whole cluster's cache (128,000 workflows) is no use to one person.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8 << 10,
		// Nothing here calls home.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
	byKey := make(dynamicconfig.StaticClient, len(more))
	for key, value := range more {
		byKey[dynamicconfig.MakeKey(key)] = value
	}
	maps.Copy(conf, byKey)
	return conf
}
