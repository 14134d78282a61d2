package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight makes tiles of at most 32 hashes, 1 KiB: one row of a database each.
const tileHeight = 5

// ErrTile tells that a tile is missing or damaged. Tiles wraps it.
var ErrTile = errors.New("the tree of the audit log is damaged")

// TileID names a tile: Level from 0 (leaf hashes), N from 0 within the level.
type TileID struct {
	Level int
	N     int64
}

// Tiles reads stored tiles. A tile that is still growing holds fewer hashes.
type Tiles func(id TileID) (data []byte, err error)

// Tree reads the hashes of a log from its tiles. It keeps what it has read, and is
// for one goroutine.
type Tree struct {
	tiles Tiles
	read  map[TileID][]byte
	fresh map[int64]Hash // not in the tiles yet
}

// NewTree makes a Tree.
func NewTree(tiles Tiles) *Tree {
	return &Tree{tiles: tiles, read: map[TileID][]byte{}, fresh: map[int64]Hash{}}
}

// maxKept bounds the tiles that a Tree remembers.
const maxKept = 4096

// ReadHashes implements tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, index := range indexes {
		if h, ok := t.fresh[index]; ok {
			out[i] = h
			continue
		}
		tile := tlog.TileForIndex(tileHeight, index)
		data, err := t.tile(TileID{tile.L, tile.N})
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize || len(data) > tlog.HashSize<<tileHeight {
			return nil, fmt.Errorf("%w: %d/%d has %d bytes", ErrTile, tile.L, tile.N, len(data))
		}
		if out[i], err = tlog.HashFromTile(tile, data[:tile.W*tlog.HashSize], index); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *Tree) tile(id TileID) ([]byte, error) {
	if data, ok := t.read[id]; ok {
		return data, nil
	}
	data, err := t.tiles(id)
	if err != nil {
		return nil, err
	}
	if len(t.read) >= maxKept {
		clear(t.read)
	}
	t.read[id] = data
	return data, nil
}

// Append adds the hashes of leaves behind the first size. put gets the tiles that
// are new or have grown.
func (t *Tree) Append(size int64, leaves []Hash, put func(id TileID, data []byte) error) error {
	for i, h := range leaves {
		n := size + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, h, t)
		if err != nil {
			return err
		}
		first := tlog.StoredHashIndex(0, n)
		for j, h := range hashes {
			t.fresh[first+int64(j)] = h
		}
	}
	for _, tile := range tlog.NewTiles(tileHeight, size, size+int64(len(leaves))) {
		data, err := tlog.ReadTileData(tile, t)
		if err != nil {
			return err
		}
		if err := put(TileID{tile.L, tile.N}, data); err != nil {
			return err
		}
	}
	return nil
}

// Root returns the hash of the first size entries.
func (t *Tree) Root(size int64) (Hash, error) { return tlog.TreeHash(size, t) }

// Leaf returns the hash of the entry at a place.
func (t *Tree) Leaf(pos int64) (Hash, error) {
	h, err := t.ReadHashes([]int64{tlog.StoredHashIndex(0, pos-1)})
	if err != nil {
		return Hash{}, err
	}
	return h[0], nil
}

// Inclusion proves that the entry at a place is one of the first size.
func (t *Tree) Inclusion(pos, size int64) ([]Hash, error) { return tlog.ProveRecord(size, pos-1, t) }

// Consistency proves that the first from entries begin the first to.
func (t *Tree) Consistency(from, to int64) ([]Hash, error) { return tlog.ProveTree(to, from, t) }

// CheckInclusion checks the proof that a leaf stands at a place of the log that
// the checkpoint tells of.
func CheckInclusion(c Checkpoint, pos int64, leaf Hash, proof []Hash) error {
	if pos < 1 || pos > c.Size {
		return errProof("the checkpoint covers %d entries, and not place %d", c.Size, pos)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, pos-1, leaf); err != nil {
		return errProof("entry %d is not in the log of the checkpoint as it stands here", pos)
	}
	return nil
}

// CheckConsistency checks the proof that a log is the older one, continued.
func CheckConsistency(older, newer Checkpoint, proof []Hash) error {
	switch {
	case older.Size > newer.Size:
		return errProof("the log went back from %d to %d entries", older.Size, newer.Size)
	case older.Size == 0:
		return nil
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return errProof("the first %d entries are not those of the older checkpoint", older.Size)
	}
	return nil
}
