package embedding

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"go.temporal.io/sdk/activity"
)

// DescribeInput says what to describe. Both are paths on the host of the
// analysis.
type DescribeInput struct {
	Dir    string `json:"dir"`
	Report string `json:"report"` // file, replaced when it exists
}

// DescribeResult counts what was described. The descriptions themselves may be
// many and are in the report.
type DescribeResult struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Description is what the report says of one file.
type Description struct {
	Path    string  `json:"path"` // below the directory
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Entropy float64 `json:"entropy"` // bits per byte: near 8 for compressed data or noise
}

// Describe writes a report on every file below a directory. Repeating it
// replaces the report.
func Describe(ctx context.Context, in DescribeInput) (DescribeResult, error) {
	var out DescribeResult
	descriptions := []Description{}
	err := filepath.WalkDir(in.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		activity.RecordHeartbeat(ctx, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, err := describe(path)
		if err != nil {
			return err
		}
		if d.Path, err = filepath.Rel(in.Dir, path); err != nil {
			return err
		}
		descriptions = append(descriptions, d)
		out.Files++
		out.Bytes += d.Bytes
		return nil
	})
	if err != nil {
		return DescribeResult{}, fmt.Errorf("describe %s: %w", in.Dir, err)
	}
	return out, writeReport(in.Report, descriptions)
}

func describe(path string) (Description, error) {
	f, err := os.Open(path)
	if err != nil {
		return Description{}, err
	}
	defer f.Close()
	var counts [256]int64
	hash := sha256.New()
	r := bufio.NewReaderSize(io.TeeReader(f, hash), 256<<10)
	var d Description
	for {
		b, err := r.ReadByte()
		if err == io.EOF {
			break
		} else if err != nil {
			return Description{}, err
		}
		counts[b]++
		d.Bytes++
	}
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(d.Bytes)
			d.Entropy -= p * math.Log2(p)
		}
	}
	d.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return d, nil
}

// writeReport replaces the report at once: a second attempt may run while the
// first one, given up by the server, still does.
func writeReport(path string, descriptions []Description) error {
	text, err := json.MarshalIndent(descriptions, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
