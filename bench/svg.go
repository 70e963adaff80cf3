package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

// The drawing, in pixels: the plot, and the legend right of it.
const (
	svgWidth, svgHeight       = 1000, 560
	plotLeft, plotTop         = 90, 60
	plotRight, plotBottom     = 700, 490
	legendLeft, legendSpacing = 730, 20
)

// palette is Okabe and Ito's, whose colours also those tell apart who see few.
func palette() []string {
	return []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999"}
}

// WriteSVG draws rate against the size of a file, both on logarithmic scales: a
// line for each contender, and a bar from the first to the third quartile at
// each of its points. Classes with the same size of file are points above one
// another. Drawn are those that were verified, or those that were not.
func WriteSVG(w io.Writer, r Report, verified bool) error {
	results := slices.DeleteFunc(slices.Clone(r.Results), func(res Result) bool { return res.Verify != verified })
	p := newPlot(results)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", svgWidth, svgHeight)
	text(&b, plotLeft, 24, `font-size="16" font-weight="bold"`, "gridferry and its peers: rate against size of file")
	text(&b, plotLeft, 44, `fill="#555"`, fmt.Sprintf("%s to %s, medians of %d rounds with their middle halves, verification %s, encryption %s",
		r.Source, r.Destination, r.Rounds, onOff(verified), onOff(r.Encrypt)))
	p.axes(&b)
	drawn := 0
	for _, c := range r.Contenders {
		if points := p.points(c.Name, results); len(points) > 0 {
			p.line(&b, c, points, drawn)
			drawn++
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// plot maps sizes and rates, by their logarithms, to pixels.
type plot struct {
	sizes                              []int64
	minSize, maxSize, minRate, maxRate float64
}

type point struct{ size, rate, low, high float64 }

// An empty file has no place on a logarithmic scale: it is drawn as one byte.
func logSize(n int64) float64 { return math.Log2(float64(max(1, n))) }

func newPlot(results []Result) plot {
	p := plot{minSize: math.Inf(1), maxSize: math.Inf(-1), minRate: math.Inf(1), maxRate: math.Inf(-1)}
	for _, res := range results {
		if !slices.Contains(p.sizes, res.Class.Size) {
			p.sizes = append(p.sizes, res.Class.Size)
		}
		for _, pt := range pointsOf(res, func(Row) bool { return true }) {
			p.minSize, p.maxSize = min(p.minSize, pt.size), max(p.maxSize, pt.size)
			p.minRate, p.maxRate = min(p.minRate, pt.low), max(p.maxRate, pt.high)
		}
	}
	slices.Sort(p.sizes)
	if p.minSize > p.maxSize {
		p.minSize, p.maxSize, p.minRate, p.maxRate = 0, 1, 1, 10
	}
	if p.minSize == p.maxSize {
		p.minSize, p.maxSize = p.minSize-1, p.maxSize+1
	}
	p.minRate, p.maxRate = math.Floor(math.Log10(p.minRate)), math.Ceil(math.Log10(p.maxRate))
	if p.minRate == p.maxRate {
		p.maxRate++
	}
	return p
}

// pointsOf are those rows of a class that have a rate to draw.
func pointsOf(res Result, want func(Row) bool) []point {
	var points []point
	for _, row := range res.Summary.Rows {
		if row.Bytes > 0 && row.IQR.Low > 0 && want(row) {
			bytes := row.Bytes * row.Seconds
			points = append(points, point{logSize(res.Class.Size), row.Bytes, bytes / row.IQR.High, bytes / row.IQR.Low})
		}
	}
	return points
}

func (p plot) points(name string, results []Result) []point {
	var points []point
	for _, res := range results {
		points = append(points, pointsOf(res, func(r Row) bool { return r.Contender == name })...)
	}
	slices.SortStableFunc(points, func(a, b point) int { return int(math.Copysign(1, a.size-b.size)) })
	return points
}

func (p plot) x(size float64) float64 {
	return plotLeft + (size-p.minSize)/(p.maxSize-p.minSize)*(plotRight-plotLeft)
}

func (p plot) y(rate float64) float64 {
	return plotBottom - (math.Log10(rate)-p.minRate)/(p.maxRate-p.minRate)*(plotBottom-plotTop)
}

// labelGap is how far apart the labels of sizes are at least, in pixels.
const labelGap = 45

func (p plot) axes(b *strings.Builder) {
	last := math.Inf(-1)
	for _, n := range p.sizes {
		x := p.x(logSize(n))
		if x < plotLeft || x > plotRight {
			continue // nobody has a rate there
		}
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#eee"/>`+"\n", x, plotTop, x, plotBottom)
		if x-last >= labelGap {
			text(b, x, plotBottom+18, `text-anchor="middle"`, FormatSize(n))
			last = x
		}
	}
	for exponent := p.minRate; exponent <= p.maxRate; exponent++ {
		rate := math.Pow(10, exponent)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, p.y(rate), plotRight, p.y(rate))
		text(b, plotLeft-8, p.y(rate)+4, `text-anchor="end"`, transfer.FormatRate(rate))
	}
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="black"/>`+"\n", plotLeft, plotTop, plotBottom, plotRight)
	text(b, (plotLeft+plotRight)/2, plotBottom+42, `text-anchor="middle"`, "size of a file")
}

// line draws a contender. Gridferry's own is thick; the others change their
// dashes where the colours begin again.
func (p plot) line(b *strings.Builder, c Contender, points []point, index int) {
	colours, width, dash := palette(), 1.5, ""
	colour := "black"
	if c.Name == Own {
		width = 3
	} else {
		colour = colours[index%len(colours)]
		if again := index / len(colours); again > 0 {
			dash = fmt.Sprintf(` stroke-dasharray="%d 3"`, 9/again)
		}
	}
	stroke := fmt.Sprintf(`fill="none" stroke="%s" stroke-width="%g"%s`, colour, width, dash)
	var line, bars strings.Builder
	for i, pt := range points {
		fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(i, 1)], p.x(pt.size), p.y(pt.rate))
		fmt.Fprintf(&bars, "M%.1f %.1fV%.1f", p.x(pt.size), p.y(pt.low), p.y(pt.high))
	}
	fmt.Fprintf(b, `<path d="%s" %s/>`+"\n", line.String(), stroke)
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%g" opacity="0.5"/>`+"\n", bars.String(), colour, width+1)
	for _, pt := range points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>`+"\n", p.x(pt.size), p.y(pt.rate), width+1.5, colour)
	}
	y := plotTop + index*legendSpacing
	fmt.Fprintf(b, `<path d="M%d %dh28" %s/>`+"\n", legendLeft, y, stroke)
	text(b, legendLeft+36, float64(y+4), "", c.Name)
}

// text writes a text; what it says may come from anybody.
func text(b *strings.Builder, x, y float64, attributes, content string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>`, x, y, attributes)
	// Writing to a strings.Builder cannot fail.
	_ = xml.EscapeText(b, []byte(content))
	b.WriteString("</text>\n")
}
