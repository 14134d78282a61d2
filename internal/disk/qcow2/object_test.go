package qcow2_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
)

// memory is an object in memory that can lose power: what was written since the
// last Sync is kept, lost or torn at will.
type memory struct {
	data    []byte
	durable []byte
	pending []change
	budget  int // operations until the power goes; 0: never
	syncs   int
}

type change struct {
	off int64
	p   []byte // nil: truncate to off
}

var errPower = errors.New("the power is gone")

func (m *memory) spend() error {
	if m.budget == 1 {
		return errPower
	}
	m.budget = max(m.budget-1, 0)
	return nil
}

func (m *memory) do(data []byte, c change) []byte {
	end := c.off + int64(len(c.p))
	if c.p == nil && int64(len(data)) > end {
		data = data[:end]
	}
	if int64(len(data)) < end {
		data = append(data, make([]byte, end-int64(len(data)))...)
	}
	copy(data[c.off:], c.p)
	return data
}

func (m *memory) add(c change) error {
	if err := m.spend(); err != nil {
		return err
	}
	m.data = m.do(m.data, c)
	m.pending = append(m.pending, c)
	return nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	return len(p), m.add(change{off, bytes.Clone(p)})
}

func (m *memory) Truncate(size int64) error { return m.add(change{off: size}) }

func (m *memory) Sync() error {
	if err := m.spend(); err != nil {
		return err
	}
	for _, c := range m.pending {
		m.durable = m.do(m.durable, c)
	}
	m.pending = nil
	m.syncs++
	return nil
}

// crash leaves what is durable and any part of the rest, in sectors.
func (m *memory) crash(r *rand.Rand) {
	data := bytes.Clone(m.durable)
	for _, c := range m.pending {
		switch r.IntN(3) {
		case 0:
		case 1:
			data = m.do(data, c)
		default:
			for at := 0; at < len(c.p); at += 512 {
				if r.IntN(2) == 0 {
					data = m.do(data, change{c.off + int64(at), c.p[at:min(at+512, len(c.p))]})
				}
			}
		}
	}
	m.data, m.durable, m.pending, m.budget = data, bytes.Clone(data), nil, 0
}

// ReadAt reads what was written.
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

// sparse is an object that takes everything and keeps nothing.
type sparse struct{}

func (*sparse) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (*sparse) Truncate(int64) error                   { return nil }
func (*sparse) Sync() error                            { return nil }
