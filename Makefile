# What each target is for: README.md (demo, test) and CONTRIBUTING.md (the rest).

# What outlives a run: unpacked Debian packages and the stock temporal command.
CACHE := $(or $(GRIDFERRY_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gridferry)
BIN := $(CURDIR)/bin

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
GOTESTSUM := gotest.tools/gotestsum@v1.13.0
# As in integration/harness/installed.go.
TEMPORAL_CLI := v1.5.1
VERSITYGW := v1.8.0
# Debian's is years old; only benchmarks and soaks want it.
RCLONE := v1.75.1

# Real peers share two cores with their tests, and most tests wait most of the
# time: for heartbeats to be missed, for proxies to end.
UNIT = $$(go list ./... | grep -v /integration)
INTEGRATION = -p 3 -count 1 -timeout 30m

export GRIDFERRY_CACHE := $(CACHE)

# How long each fuzz target runs, and where they are.
FUZZTIME := 5m
FUZZED = $$(grep -rl --include='*_test.go' '^func Fuzz' $(or $(FUZZ),.) | xargs -n 1 dirname | sort -u)

.PHONY: demo test check bench bench-wan chaos scale soak fuzz build tools rclone

demo: build
	@$(BIN)/gridferry-standalone demo $(if $(SRC),-src "$(SRC)") $(if $(DST),-dst "$(DST)") $(if $(KEEP),-keep)

# Some of the tests kill servers by the clock, on machines that others load. One
# that fails is printed, and must pass alone in a second run; six failures, a
# panic or a data race are final.
TEST = go run $(GOTESTSUM) --format standard-quiet --rerun-fails=1 --rerun-fails-max-failures=5 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race

test: tools check build
	$(TEST) --packages="$(UNIT)" -- -race -timeout 20m
	GRIDFERRY_BIN=$(BIN) $(TEST) --packages=./integration/... -- -race $(INTEGRATION)
	@# Without -race, which would compile the whole Temporal server once more.
	cd standalone && GRIDFERRY_BIN=$(BIN) go test -count 1 ./...

check:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt would change:" $$files; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(WORKFLOWCHECK) -config .workflowcheck.yaml ./workflows/...
	go test -count=1 ./internal/imports

# What make bench compares, and how often; docs/measured.md has the rest, and
# integration/bench/sets_test.go what the sets are.
SET := quick
ROUNDS := 5
BENCH = PATH="$(CACHE)/rclone-$(RCLONE):$$PATH" GRIDFERRY_BIN=$(BIN) go test -count 1 -v -timeout 24h -run TestPeers ./integration/bench \
	$(if $(CLASSES),-classes "$(CLASSES)") -rounds $(ROUNDS) $(if $(PEERS),-peers "$(PEERS)") $(if $(VERIFY),-verify $(VERIFY)) \
	$(if $(PATIENCE),-patience $(PATIENCE)) $(if $(DIR),-dir "$(abspath $(DIR))") $(if $(RESULTS),-results "$(abspath $(RESULTS))")

bench: tools build rclone
	@./integration/debian.sh "$(CACHE)" rsync awscli
	@$(BENCH) -set $(SET)

rclone:
	@test -x "$(CACHE)/rclone-$(RCLONE)/rclone" || { \
		echo "Installing rclone, once. It takes some minutes."; \
		mkdir -p "$(CACHE)/rclone-$(RCLONE)" && \
		GOFLAGS= GOBIN="$(CACHE)/rclone-$(RCLONE)" go install github.com/rclone/rclone@$(RCLONE); }

# The same over a distance: round trip, Mb/s towards each host, lost packets.
RTT := 50ms
RATE := 1000
LOSS := 0

bench-wan: tools build
	@$(BENCH) -set $(if $(filter quick,$(SET)),wan,$(SET)) -rtt $(RTT) -rate $(RATE) -loss $(LOSS)

# docs/measured.md says what a seed is. A failing one is repeated alone by SEEDS=1 FIRST=n.
SEEDS := 30
FIRST := 1
EVENTS := 10

chaos: tools build
	@GRIDFERRY_BIN=$(BIN) go test -count 1 -v -timeout 3h -run TestChaos ./integration/chaos \
		-seeds $(SEEDS) -first $(FIRST) -events $(EVENTS) $(if $(DIR),-dir "$(abspath $(DIR))")

# How many files make scale moves, and how often it kills the worker; without
# -race, which would be what it measures.
FILES := 10000000
KILLS := 2

scale: build
	GRIDFERRY_BIN=$(BIN) go test -count 1 -v -timeout 6h -run TestScale ./integration/scale -files $(FILES) -kills $(KILLS) -baseline 1000000

soak: tools rclone build fuzz
	GRIDFERRY_SOAK=1 GRIDFERRY_BIN=$(BIN) go test -race $(patsubst 3,1,$(patsubst 30m,5h,$(INTEGRATION))) ./integration/...

# Without the bound on minimizing, the first input of interest takes a minute.
fuzz:
	@for package in $(FUZZED); do \
		targets=$$(go test -list '^Fuzz' ./$$package) || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s ./$$package || exit 1; \
		done; \
	done

build:
	@echo "Building. The first time this compiles a Temporal server, which takes two cores about six minutes."
	go build -o $(BIN)/ ./workers/gridferryd ./starter/gridferry
	cd standalone && go build -o $(BIN)/gridferry-standalone .

tools:
	@./integration/debian.sh "$(CACHE)" chromium
	@test -x "$(CACHE)/temporal-$(TEMPORAL_CLI)/temporal" || { \
		echo "Installing the stock temporal command, once. It compiles a Temporal server of its own and takes some minutes."; \
		mkdir -p "$(CACHE)/temporal-$(TEMPORAL_CLI)" && \
		GOFLAGS= GOBIN="$(CACHE)/temporal-$(TEMPORAL_CLI)" go install github.com/temporalio/cli/cmd/temporal@$(TEMPORAL_CLI); }
	@test -x "$(CACHE)/versitygw-$(VERSITYGW)/versitygw" || { \
		echo "Installing the S3 server versitygw, once. It takes some minutes."; \
		mkdir -p "$(CACHE)/versitygw-$(VERSITYGW)" && \
		GOFLAGS= GOBIN="$(CACHE)/versitygw-$(VERSITYGW)" go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW); }
