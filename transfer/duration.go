package transfer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDuration is time.ParseDuration with days, of 24 hours, as a first
// unit: "7d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	const right = `write a number and a unit: "90s", "36h", "7d"`
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration (%s)", quoteShort(s), right)
	}
	var d time.Duration
	if rest != "" || !ok {
		if d, err = time.ParseDuration(rest); err != nil || ok && d < 0 {
			return 0, fmt.Errorf("%s is not a duration (%s)", quoteShort(s), right)
		}
	}
	const day = 24 * time.Hour
	if n > uint64((1<<63-1-d.Abs())/day) {
		return 0, fmt.Errorf("%s is longer than any duration", quoteShort(s))
	}
	return time.Duration(n)*day + d, nil
}

// String renders d as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON renders d as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON takes what ParseDuration takes. A bare number is refused: it
// would be anybody's guess whether it counts seconds.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf(`%s is not a duration (write a string: "90s", "36h", "7d")`, quoteShort(string(text)))
	}
	v, err := ParseDuration(s)
	*d = Duration(v)
	return err
}
