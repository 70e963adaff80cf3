module github.com/gridferry/gridferry

go 1.26
