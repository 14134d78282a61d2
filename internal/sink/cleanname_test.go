package sink

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanNameKeepsGoodNames(t *testing.T) {
	for _, name := range []string{"web-01", "production_db.v2", "größe-データ-01", "a", "App (copy) 1"} {
		if got := CleanName(name); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
}

// hostile are names that must not reach a file system as they are.
var hostile = []string{
	"", ".", "..", "../x", "a/b", "/etc/passwd", `C:\x`, "a\x00b", "a\nb", "\x1b[2J", ".hidden", "dot.", "blank ", " lead",
	"con", "COM1.txt", "nul", "a\u202eb", "a:b", "a*b?", "<>|\"", "~", "-", "\xff\xfe", strings.Repeat("x", 300),
	strings.Repeat("データ", 100), "a%2fb", "a~b", "app/db", "app_db",
	"...", ". .", "..\\..\\x", "x/..", "//", "a//b", "/", "\\", "\t", "\r\n", "a\u200bb", "\ufeffbom", "a\u2028b", "\u202e", "\ufffd",
	"aux.tar.gz", "LPT9", "lpt0.x", "CON.", "con ", "PRN .txt", "a&b", "a;rm -rf ~", "$(id)", "`id`", "a'b\"c", "a\x7fb",
	"💾 backup", "a\u0300\u0301", strings.Repeat("../", 80), strings.Repeat("x", 121), strings.Repeat("x", 119) + "é",
	strings.Repeat(".", 300), strings.Repeat("\u0301", 200), "vm.", "vm", "VM\x00", "a\xc3", "\xed\xa0\x80", "%00", "~1",
}

func TestCleanNameIsSafeAndDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, name := range hostile {
		got := CleanName(name)
		checkClean(t, name, got)
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q both become %q", name, other, got)
		}
		seen[got] = name
	}
}

func checkClean(t *testing.T, name, got string) {
	t.Helper()
	if got == "" || len(got) > maxName || got[0] == '.' || strings.ContainsAny(got, "/\\\x00\n\x1b:*?\"<>|%") ||
		strings.HasSuffix(got, ".") || strings.HasSuffix(got, " ") || !utf8.ValidString(got) || reserved(got) {
		t.Errorf("%q became %q", name, got)
	}
}

func FuzzCleanName(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkClean(t, name, CleanName(name)) })
}
