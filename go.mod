module github.com/gridferry/gridferry

go 1.26.0

require (
	go.temporal.io/api v1.63.5 // indirect
	go.temporal.io/sdk v1.50.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)
