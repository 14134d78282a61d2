package imagegen

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// dice hands out random bits by the handful.
type dice struct {
	source *rand.ChaCha8
	bits   uint64
	left   uint
}

// newDice returns the randomness of one place of one image.
func newDice(seed, place uint64) dice {
	var key [32]byte
	copy(key[:16], "imagegen")
	binary.LittleEndian.PutUint64(key[16:], seed)
	binary.LittleEndian.PutUint64(key[24:], place)
	return dice{source: rand.NewChaCha8(key)}
}

// take returns n random bits, n <= 32.
func (d *dice) take(n uint) uint32 {
	if d.left < n {
		d.bits, d.left = d.source.Uint64(), 64
	}
	v := uint32(d.bits & (1<<n - 1))
	d.bits >>= n
	d.left -= n
	return v
}

// below returns a number from 0 to n-1, n <= 1<<16, almost evenly.
func (d *dice) below(n int) int { return int(d.take(16)) * n >> 16 }

// chance is true n times in 256.
func (d *dice) chance(n uint32) bool { return d.take(8) < n }

// logUniform returns a number from 1 to n, small and large ones alike: each power
// of two is as likely as the next. It is computed in integers, as floating point
// rounds differently from machine to machine.
func (d *dice) logUniform(n int64) int64 {
	exponent := uint(d.below(bits.Len64(uint64(n))))
	return min(1<<exponent+int64(d.take(exponent)), n)
}

// zipf draws indices that follow Zipf's law, as words, names and op codes do.
type zipf struct{ table [1 << zipfBits]uint16 }

const zipfBits = 13

// newZipf spreads n indices; a flatter law is had by a greater offset.
func newZipf(n int, offset float64) *zipf {
	total := 0.0
	for i := range n {
		total += 1 / (float64(i) + offset)
	}
	z, sum, next := new(zipf), 0.0, 0
	for i := range n {
		sum += 1 / (float64(i) + offset)
		for end := int(sum / total * float64(len(z.table))); next < end; next++ {
			z.table[next] = uint16(i)
		}
	}
	return z
}

func (z *zipf) draw(d *dice) int { return int(z.table[d.take(zipfBits)]) }
