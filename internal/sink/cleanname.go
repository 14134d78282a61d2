package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest published name in bytes; a stage adds to it, and file
// systems stop at 255.
const maxName = 120

// CleanName makes one safe, readable path element of any name: letters, digits
// and "-_. ()+@=" of any script stay, everything else becomes "_". If that
// changed the name, a hash of the original follows, so that two names never get
// the same result by cleaning. It is never empty, hidden or reserved, and does
// not end in a dot or a blank.
func CleanName(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r == utf8.RuneError || !plain(r) {
			r = '_'
		}
		if b.Len()+utf8.RuneLen(r) > maxName {
			break
		}
		b.WriteRune(r)
	}
	clean := strings.TrimRight(strings.TrimLeft(b.String(), ". "), ". ")
	if clean == name && !reserved(clean) {
		return clean
	}
	if clean = strings.TrimRight(clean, ". "); reserved(clean) {
		clean = "_" + clean
	}
	const hashed = 8 // hex digits
	for len(clean) > maxName-hashed-1 {
		_, n := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-n]
	}
	sum := sha256.Sum256([]byte(name))
	return clean + "~" + hex.EncodeToString(sum[:])[:hashed]
}

func plain(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("-_. ()+@=", r)
}

// reserved are the empty name and those that Windows keeps for devices.
func reserved(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch stem {
	case "", "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9'
}
