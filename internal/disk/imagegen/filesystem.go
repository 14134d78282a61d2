package imagegen

import "encoding/binary"

// block is the unit of the imitated file system in bytes.
const block = 4096

// small writes files that are shorter than a block, one in each, with zeros
// behind them.
func (p *page) small() {
	whole := p.out
	for at := 0; at < len(whole); at += block {
		size := 200 + p.dice.below(block-200)
		p.out, p.n = whole[at:min(at+size, len(whole))], 0
		switch p.dice.take(2) {
		case 0:
			p.prose()
		case 1:
			p.logs()
		default:
			p.source()
		}
	}
}

// metadata writes inode tables, directories and bitmaps, a block of each.
func (p *page) metadata() {
	p.bitmap()
	for !p.full() {
		switch p.dice.take(3) {
		case 0:
			p.bitmap()
		case 1, 2:
			p.directory()
		default:
			p.inodes()
		}
	}
}

// bitmap writes a block that is used up to some point.
func (p *page) bitmap() {
	for range 1 + p.dice.below(block-1) {
		p.put(0xff)
	}
	p.align(block)
}

// inodes writes records of 256 bytes, shaped as those of ext4.
func (p *page) inodes() {
	clock := 0x69_00_00_00 + p.dice.take(24)
	for range block / 256 {
		if p.full() {
			return
		}
		if p.dice.chance(64) {
			p.skip(256) // free
			continue
		}
		clock += p.dice.take(8)
		var inode [256]byte
		le := binary.LittleEndian
		le.PutUint16(inode[0:], 0o100644)
		le.PutUint32(inode[4:], p.dice.take(14))
		le.PutUint32(inode[8:], clock)
		le.PutUint32(inode[12:], clock)
		le.PutUint32(inode[16:], clock)
		le.PutUint16(inode[26:], 1)
		le.PutUint32(inode[28:], 8)
		le.PutUint32(inode[32:], 0x80000)
		le.PutUint32(inode[40:], 0x1f30a)
		le.PutUint32(inode[44:], 4)
		le.PutUint32(inode[56:], 1+p.dice.take(2))
		le.PutUint32(inode[60:], p.dice.take(20))
		le.PutUint32(inode[100:], p.dice.take(32))
		p.bytes(inode[:]...)
	}
}

// directory writes a block of names.
func (p *page) directory() {
	end := min(p.n+block, len(p.out))
	inode := p.dice.take(18)
	for at := p.dice.below(nameCount); p.n+64 < end; at++ {
		name := p.words.names[at%nameCount]
		inode += 1 + p.dice.take(2)
		size := (8 + len(name) + 3) &^ 3
		p.bytes(byte(inode), byte(inode>>8), byte(inode>>16), 0, byte(size), 0, byte(len(name)), 1)
		p.text(name)
		p.align(4)
	}
	p.skip(end - p.n)
}
