package store

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// sizes are the numbers of rows that there are texts for, so that the number of
// prepared statements stays small.
var sizes = []int{1, 2, 4, 8, 16, 32, 64, maxRows}

// maxRows is how many rows one statement takes at most.
const maxRows = 128

// many is a statement about several rows of values.
type many struct {
	width int
	texts map[int]string // by the number of rows
	plain map[int]string // the same with ? for $N: SQLite looks for the name of each
}

// newMany makes a statement of what stands before the rows and behind them. A type
// that is not empty is spelled out for PostgreSQL, which takes a value for a text
// where nothing else tells.
func newMany(head string, types []string, tail string) many {
	m := many{width: len(types), texts: make(map[int]string), plain: make(map[int]string)}
	row := "(?" + strings.Repeat(", ?", m.width-1) + ")"
	for _, rows := range sizes {
		var t strings.Builder
		for i := range rows * m.width {
			switch {
			case i == 0:
				t.WriteString("(")
			case i%m.width == 0:
				t.WriteString("), (")
			default:
				t.WriteString(", ")
			}
			v := "$" + strconv.Itoa(i+1)
			if i < m.width && types[i] != "" {
				v = "CAST(" + v + " AS " + types[i] + ")"
			}
			t.WriteString(v)
		}
		m.texts[rows] = head + t.String() + ")" + tail
		m.plain[rows] = head + row + strings.Repeat(", "+row, rows-1) + tail
	}
	return m
}

func (m many) text(d dialect, rows int) string {
	if d.server {
		return m.texts[rows]
	}
	return m.plain[rows]
}

// parts cuts rows into as few parts as there are texts for.
func parts[T any](rows []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for i := len(sizes) - 1; len(rows) > 0; {
			if n := sizes[i]; n > len(rows) {
				i--
			} else if !yield(rows[:n]) {
				return
			} else {
				rows = rows[n:]
			}
		}
	}
}

// padded gives the text and the values for up to maxRows rows. What is added to fill
// the text up is NULL, which no key equals.
func (m many) padded(d dialect, rows [][]any) (text string, args []any) {
	n := sizes[slices.IndexFunc(sizes, func(n int) bool { return n >= len(rows) })]
	args = slices.Concat(rows...)
	return m.text(d, n), append(args, make([]any, n*m.width-len(args))...)
}

// keys are rows of one value each.
func keys(ids []string) [][]any {
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{id}
	}
	return rows
}
