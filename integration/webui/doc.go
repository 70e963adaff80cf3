// Package webui holds no code: its test looks at a transfer the way a stranger
// would, in the Temporal Web UI, with a real browser.
package webui
