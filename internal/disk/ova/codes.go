package ova

import (
	"fmt"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The codes of this package's errors.
const (
	codeMachine   = "HX-OVA-001" // the VM does not fit into a descriptor
	codeSequence  = "HX-OVA-002" // the writer was used out of order
	codeState     = "HX-OVA-003" // the saved state of a writer cannot be used
	codeTar       = "HX-OVA-010" // not an archive, or a damaged one
	codeMember    = "HX-OVA-011" // a member that does not belong into a package
	codeXML       = "HX-OVA-012" // the descriptor is not what it must be
	codeMissing   = "HX-OVA-013" // files and descriptor do not agree
	codeManifest  = "HX-OVA-014" // the manifest cannot be read or is not complete
	codeNoProof   = "HX-OVA-015" // there is no manifest, or one that proves nothing
	codeChecksum  = "HX-OVA-016" // the content differs from the manifest
	codeForeign   = "HX-OVA-017" // legal OVF that is not supported
	fixForeign    = "convert the package with the tool that made it to a single VM with plain streamOptimized disks"
	fixDamaged    = "take another copy of the package, or export the VM again"
	fixUnexpected = "do not use this package unless you know who made it"
)

// corrupt reports content that is not what it must be.
func corrupt(code, format string, args ...any) error {
	return &fault.Error{Kind: fault.Corrupt, Code: code, Msg: fmt.Sprintf(format, args...), Fix: fixDamaged}
}

// foreign reports a legal package that this program does not handle.
func foreign(format string, args ...any) error {
	return &fault.Error{Kind: fault.Unprocessable, Code: codeForeign, Msg: fmt.Sprintf(format, args...), Fix: fixForeign}
}

// unexpected reports what an honest program does not write.
func unexpected(format string, args ...any) error {
	return &fault.Error{Kind: fault.Corrupt, Code: codeMember, Msg: fmt.Sprintf(format, args...), Fix: fixUnexpected}
}
