package imagegen

import (
	"slices"
	"strings"
)

// vocabulary is what the texts of one image are made of.
type vocabulary struct {
	words []string // with a blank behind each
	names []string // identifiers
	often *zipf    // over words
	local *zipf    // over the few names that one file uses
}

const (
	wordCount  = 4000
	nameCount  = 3000
	localCount = 120
)

// syllables of invented words, the frequent ones first.
var syllables = []string{
	"e", "a", "o", "i", "the", "in", "er", "an", "re", "on", "at", "en", "nd", "ti", "es", "or", "te", "of", "ed", "is",
	"it", "al", "ar", "st", "to", "nt", "ng", "se", "ha", "as", "ou", "io", "le", "ve", "co", "me", "de", "hi", "ri", "ro",
	"ic", "ne", "ea", "ra", "ce", "li", "ch", "ll", "be", "ma", "si", "om", "ur", "ty", "ly", "pre", "con", "sub", "ment", "ing",
}

func newVocabulary(seed uint64) *vocabulary {
	d := newDice(seed, 1<<63)
	v := &vocabulary{often: newZipf(wordCount, 2.7), local: newZipf(localCount, 3)}
	pick := newZipf(len(syllables), 8)
	word := func(parts int) string {
		var s strings.Builder
		for range parts {
			s.WriteString(syllables[pick.draw(&d)])
		}
		return s.String()
	}
	for i := range wordCount {
		// Frequent words are short.
		v.words = append(v.words, word(1+min(i/40, 1)+d.below(3))+" ")
	}
	for range nameCount {
		var name strings.Builder
		name.WriteString(word(1 + d.below(3)))
		for range d.below(3) {
			part := word(1 + d.below(2))
			if d.chance(128) {
				name.WriteString("_" + part)
			} else {
				name.WriteString(string(part[0]-'a'+'A') + part[1:])
			}
		}
		v.names = append(v.names, name.String())
	}
	slices.Sort(v.names)
	return v
}
