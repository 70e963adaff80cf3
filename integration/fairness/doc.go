// Package fairness holds the test of shares between owners: somebody with very
// many files keeps nobody with a few waiting, whether the Temporal server
// shares its queues out or not.
package fairness
