package temporal

import (
	"log/slog"

	"go.temporal.io/server/common/log/tag"
)

// logger passes what the server logs to slog.
type logger struct{ log *slog.Logger }

func (l logger) Debug(msg string, tags ...tag.Tag) { l.log.Debug(msg, attrs(tags)...) }
func (l logger) Info(msg string, tags ...tag.Tag)  { l.log.Info(msg, attrs(tags)...) }
func (l logger) Warn(msg string, tags ...tag.Tag)  { l.log.Warn(msg, attrs(tags)...) }
func (l logger) Error(msg string, tags ...tag.Tag) { l.log.Error(msg, attrs(tags)...) }

// DPanic, Panic and Fatal are for states that the server cannot go on from.
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.Error(msg, tags...) }

func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.Error(msg, tags...)
	panic(msg)
}

func (l logger) Fatal(msg string, tags ...tag.Tag) {
	l.Error(msg, tags...)
	panic(msg)
}

func attrs(tags []tag.Tag) []any {
	attrs := make([]any, 0, len(tags))
	for _, t := range tags {
		attrs = append(attrs, slog.Any(t.Key(), t.Value()))
	}
	return attrs
}
