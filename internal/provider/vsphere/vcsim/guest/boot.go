package guest

import "encoding/binary"

const (
	loadAddress    = 0x7c00 // where the BIOS puts the boot sector
	chunkSectors   = 64     // read at once, to chunkSegment:0
	chunkSegment   = 0x1000
	signatureAt    = 440 // of the disk, in the boot sector
	partitionAt    = 446
	serialPort     = 0x3f8
	fnvOffsetBasis = 0x811c9dc5
	fnvPrime       = 0x01000193
)

// bootSector assembles the program and puts a partition table behind it.
func bootSector(sum, signature uint32) [sectorSize]byte {
	var sector [sectorSize]byte
	code := assemble(sum)
	if len(code) > signatureAt {
		panic("the boot program does not fit the boot sector") // a constant of the build: any test shows it
	}
	copy(sector[:], code)
	le := binary.LittleEndian
	le.PutUint32(sector[signatureAt:], signature)
	p := sector[partitionAt:]
	p[0], p[4] = 0x80, 0xda // active; not a file system
	copy(p[1:4], []byte{0xfe, 0xff, 0xff})
	copy(p[5:8], []byte{0xfe, 0xff, 0xff})
	le.PutUint32(p[8:], payloadOffset/sectorSize)
	le.PutUint32(p[12:], payloadSize/sectorSize)
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// assemble writes the program in 16-bit real mode with 32-bit operands (80386).
func assemble(sum uint32) []byte {
	a := newAssembler(loadAddress)
	a.setup()
	a.checksum()
	a.report()
	a.powerOff()
	a.routines()
	a.data(sum)
	return a.link()
}

// setup makes segments and stack known, and COM1 ready.
func (a *assembler) setup() {
	a.emit(0xea).abs("main").word(0) // jmp 0:main
	a.label("main")
	a.emit(0xfa)                      // cli
	a.emit(0x31, 0xc0)                // xor ax, ax
	a.emit(0x8e, 0xd8)                // mov ds, ax
	a.emit(0x8e, 0xc0)                // mov es, ax
	a.emit(0x8e, 0xd0)                // mov ss, ax
	a.emit(0xbc).word(loadAddress)    // mov sp, 7c00h
	a.emit(0xfc)                      // cld
	a.emit(0x88, 0x16).abs("drive")   // mov [drive], dl
	a.emit(0xba).word(serialPort + 3) // mov dx, 3fbh   line control
	a.emit(0xb0, 0x80, 0xee)          // mov al, 80h; out dx, al   divisor follows
	a.emit(0xba).word(serialPort)     // mov dx, 3f8h
	a.emit(0xb0, 0x01, 0xee)          // mov al, 1; out dx, al     115200
	a.emit(0x42)                      // inc dx
	a.emit(0x30, 0xc0, 0xee)          // xor al, al; out dx, al
	a.emit(0xba).word(serialPort + 3) // mov dx, 3fbh
	a.emit(0xb0, 0x03, 0xee)          // mov al, 3; out dx, al     8N1
	a.emit(0xbe).abs("banner")        // mov si, banner
	a.emit(0xe8).rel16("print")       // call print
	a.emit(0xfb)                      // sti
}

// checksum leaves the FNV-1a sum of the payload in ebx, or jumps to bad.
func (a *assembler) checksum() {
	a.emit(0x66, 0xbb).dword(fnvOffsetBasis)                   // mov ebx, offset basis
	a.emit(0xb9).word(payloadSize / sectorSize / chunkSectors) // mov cx, chunks
	a.label("chunk")
	a.emit(0x51)                                 // push cx
	a.emit(0x66, 0x53)                           // push ebx
	a.emit(0xbe).abs("packet")                   // mov si, packet
	a.emit(0x8a, 0x16).abs("drive")              // mov dl, [drive]
	a.emit(0xb4, 0x42)                           // mov ah, 42h    extended read
	a.emit(0xcd, 0x13)                           // int 13h
	a.emit(0x66, 0x5b)                           // pop ebx
	a.emit(0x72).rel8("bad")                     // jc bad
	a.emit(0x1e)                                 // push ds
	a.emit(0xb8).word(chunkSegment)              // mov ax, segment
	a.emit(0x8e, 0xd8)                           // mov ds, ax
	a.emit(0x31, 0xf6)                           // xor si, si
	a.emit(0xb9).word(chunkSectors * sectorSize) // mov cx, 8000h
	a.label("byte")
	a.emit(0xac)                                                     // lodsb
	a.emit(0x30, 0xc3)                                               // xor bl, al
	a.emit(0x66, 0x69, 0xdb).dword(fnvPrime)                         // imul ebx, ebx, prime
	a.emit(0xe2).rel8("byte")                                        // loop byte
	a.emit(0x1f)                                                     // pop ds
	a.emit(0x66, 0x83, 0x06).absPlus("packet", 8).emit(chunkSectors) // add dword [packet+8], 64
	a.emit(0x59)                                                     // pop cx
	a.emit(0xe2).rel8("chunk")                                       // loop chunk
}

// report prints the verdict and the sum.
func (a *assembler) report() {
	a.emit(0xbe).abs("ok")               // mov si, ok
	a.emit(0x66, 0x3b, 0x1e).abs("want") // cmp ebx, [want]
	a.emit(0x74).rel8("verdict")         // je verdict
	a.label("bad")
	a.emit(0xbe).abs("notok") // mov si, notok
	a.label("verdict")
	a.emit(0xfa)                // cli   the BIOS prints from its timer
	a.emit(0xe8).rel16("print") // call print
	a.emit(0xb9).word(8)        // mov cx, 8
	a.label("hex")
	a.emit(0x66, 0xc1, 0xc3, 0x04) // rol ebx, 4
	a.emit(0x88, 0xd8)             // mov al, bl
	a.emit(0x24, 0x0f)             // and al, 0fh
	a.emit(0x3c, 0x0a)             // cmp al, 10
	a.emit(0x72, 0x02)             // jb +2
	a.emit(0x04, 'A'-'0'-10)       // add al, 7
	a.emit(0x04, '0')              // add al, '0'
	a.emit(0xe8).rel16("putc")     // call putc
	a.emit(0xe2).rel8("hex")       // loop hex
	a.emit(0xbe).abs("newline")    // mov si, newline
	a.emit(0xe8).rel16("print")    // call print
}

// powerOff ends the machine: ACPI at the address that QEMU's firmware sets up,
// else APM, else it halts.
func (a *assembler) powerOff() {
	a.emit(0xba).word(0x604)  // mov dx, 604h    PM1a control
	a.emit(0xb8).word(0x2000) // mov ax, 2000h   SLP_EN, S5
	a.emit(0xef)              // out dx, ax
	a.emit(0xb8).word(0x5307) // mov ax, 5307h   APM: set power state
	a.emit(0xbb).word(1)      // mov bx, 1       all devices
	a.emit(0xb9).word(3)      // mov cx, 3       off
	a.emit(0xcd, 0x15)        // int 15h
	a.label("halt")
	a.emit(0xfa, 0xf4)        // cli; hlt
	a.emit(0xeb).rel8("halt") // jmp halt
}

// routines are print (si: text that ends in 0) and putc (al). The screen is
// written directly: the BIOS may mirror its own output to the serial port.
func (a *assembler) routines() {
	a.label("print")
	a.emit(0xac)                 // lodsb
	a.emit(0x84, 0xc0)           // test al, al
	a.emit(0x74).rel8("printed") // jz printed
	a.emit(0xe8).rel16("putc")   // call putc
	a.emit(0xeb).rel8("print")   // jmp print
	a.label("printed")
	a.emit(0xc3) // ret

	a.label("putc")
	a.emit(0x50)                      // push ax
	a.emit(0xba).word(serialPort + 5) // mov dx, 3fdh   line status
	a.label("busy")
	a.emit(0xec)                     // in al, dx
	a.emit(0xa8, 0x20)               // test al, 20h    transmitter empty
	a.emit(0x74).rel8("busy")        // jz busy
	a.emit(0x58)                     // pop ax
	a.emit(0xba).word(serialPort)    // mov dx, 3f8h
	a.emit(0xee)                     // out dx, al
	a.emit(0x3c, ' ')                // cmp al, ' '
	a.emit(0x72).rel8("put")         // jb put          not on the screen
	a.emit(0x06)                     // push es
	a.emit(0xba).word(0xb800)        // mov dx, 0b800h  text screen
	a.emit(0x8e, 0xc2)               // mov es, dx
	a.emit(0x8b, 0x3e).abs("cursor") // mov di, [cursor]
	a.emit(0xb4, 0x0f)               // mov ah, 0fh     white on black
	a.emit(0xab)                     // stosw
	a.emit(0x89, 0x3e).abs("cursor") // mov [cursor], di
	a.emit(0x07)                     // pop es
	a.label("put")
	a.emit(0xc3) // ret
}

func (a *assembler) data(sum uint32) {
	a.label("packet") // disk address packet of INT 13h function 42h
	a.emit(16, 0).word(chunkSectors).word(0).word(chunkSegment)
	a.dword(payloadOffset / sectorSize).dword(0)
	a.label("want")
	a.dword(sum)
	a.label("cursor")
	a.word(20 * 80 * 2) // line 20
	a.label("drive")
	a.emit(0)
	a.label("banner")
	a.text("hypersdk guest\r\n")
	a.label("ok")
	a.text("HX-BOOT-OK sum=")
	a.label("notok")
	a.text("HX-BOOT-BAD sum=")
	a.label("newline")
	a.text("\r\n")
}
