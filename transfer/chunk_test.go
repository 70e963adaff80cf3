package transfer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// filesOf makes n files of each size.
func filesOf(n int, sizes ...int64) []File {
	var files []File
	for _, size := range sizes {
		for i := range n {
			files = append(files, File{Source: fmt.Sprintf("/s/%d-%d", size, i), Size: size})
		}
	}
	return files
}

func TestSort(t *testing.T) {
	files := []File{{Source: "/b", Size: 2}, {Source: "/c", Size: 1}, {Source: "/a", Size: 2, Dest: "/2"}, {Source: "/a", Size: 2, Dest: "/1"}}
	Sort(files)
	var got []string
	for _, f := range files {
		got = append(got, f.Source+f.Dest)
	}
	if want := []string{"/c", "/a/1", "/a/2", "/b"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []File
		opts  CutOptions
		want  []string // files and class of each chunk
	}{
		{"nothing", nil, CutOptions{}, nil},
		{"one empty file", filesOf(1, 0), CutOptions{}, []string{"1 medium"}},
		{"many small ones", filesOf(3000, 10_000), CutOptions{}, []string{"3000 small"}},
		{"cut where the heuristics change", filesOf(200, 49_999_999, 50_000_000, 250_000_000, 250_000_001), CutOptions{Target: 1000 * time.Hour},
			[]string{"200 small", "400 medium", "200 large"}},
		{"evenly by count", filesOf(12_000, 1), CutOptions{}, []string{"4000 small", "4000 small", "4000 small"}},
		{"just as many as fit", filesOf(5000, 1), CutOptions{}, []string{"5000 small"}},
		{"two more than fit", filesOf(5002, 1), CutOptions{}, []string{"2501 small", "2501 small"}},
		{"evenly by work", filesOf(92, 1e9), CutOptions{}, []string{"23 large", "23 large", "23 large", "23 large"}},
		{"a large file alone", filesOf(3, 40e9), CutOptions{}, []string{"1 large", "1 large", "1 large"}},
		{"a file of more work than fits", filesOf(1, 300e6, 1e12), CutOptions{}, []string{"1 large", "1 large"}},
		{"a slow path", filesOf(100, 10e6), CutOptions{Rate: 1e6}, []string{"5 medium"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			Sort(tc.files)
			var got []string
			for _, p := range Cut(tc.files, tc.opts) {
				got = append(got, fmt.Sprintf("%d %s", p.Stats.Files, p.Class))
			}
			if tc.name == "a slow path" { // 1,000 s of work in parts of 60 s at most
				if len(got) < 17 || len(got) > 20 {
					t.Errorf("%d chunks: %v", len(got), got)
				}
				return
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestCutKeepsItsBounds checks, for mixtures of any kind, that nothing is lost
// and that no chunk is more than was asked for.
func TestCutKeepsItsBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		files := make([]File, rng.IntN(3000))
		for i := range files {
			files[i] = File{Source: fmt.Sprint(i), Size: rng.Int64N(1 << rng.IntN(41))}
		}
		opts := CutOptions{MaxFiles: 1 + rng.IntN(1000), Target: time.Duration(1+rng.IntN(100)) * time.Second, Rate: 1e6 + 1e9*rng.Float64()}
		Sort(files)
		var joined []File
		full := opts.withDefaults()
		for _, p := range Cut(files, opts) {
			joined = append(joined, p.Files...)
			var work float64
			for _, f := range p.Files {
				work += full.cost(f)
			}
			if len(p.Files) == 0 || len(p.Files) > opts.MaxFiles {
				t.Fatalf("round %d: a chunk of %d files, at most %d", round, len(p.Files), opts.MaxFiles)
			}
			if work > opts.Target.Seconds() && len(p.Files) > 1 {
				t.Fatalf("round %d: a chunk of %d files and %.1f s, at most %v", round, len(p.Files), work, opts.Target)
			}
			if p.Stats != StatsOf(p.Files) || p.Class != p.Stats.Class() {
				t.Fatalf("round %d: %+v", round, p.Stats)
			}
			for _, bound := range []int64{SmallMean - 1, LargeMin} {
				if p.Stats.Min <= bound && p.Stats.Max > bound {
					t.Fatalf("round %d: a chunk of %d to %d bytes needs two tunings", round, p.Stats.Min, p.Stats.Max)
				}
			}
		}
		if !slices.Equal(joined, files) {
			t.Fatalf("round %d: the chunks are not the files", round)
		}
	}
}
