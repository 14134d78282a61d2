package ova

import "strings"

// The CIM_OperatingSystem.OSType of guests that no rule knows.
const (
	osOther   = 1
	osOther64 = 102
)

// osRule gives the CIM OSType of the vSphere guest ids with a prefix, for the
// 32-bit and the 64-bit form.
type osRule struct {
	prefix         string // lower case
	bits32, bits64 int
}

// osRules: the first rule whose prefix fits is taken. vSphere itself goes by
// vmw:osType; the number is for everybody else. A release that CIM has no number
// for takes that of the one before it.
var osRules = []osRule{
	{"dos", 14, 14},
	{"win31", 15, 15}, {"win95", 16, 16}, {"win98", 17, 17}, {"winnt", 18, 18}, {"winme", 63, 63},
	{"win2000", 58, 58},
	{"winxppro64", 71, 71}, {"winxp", 67, 71},
	{"winnet", 69, 70},
	{"winvista", 73, 74},
	{"winlonghorn", 76, 77},                              // Server 2008
	{"windows7server", 103, 103}, {"windows7", 105, 105}, // Server 2008 R2; 7
	{"windows8server", 112, 112}, {"windows8", 113, 114}, // Server 2012; 8
	{"windows9server", 116, 116}, {"windows9", 119, 120}, // Server 2016; 10
	{"windows2019srvnext", 123, 123},                    // Server 2022
	{"windows2019srv", 121, 121},                        // Server 2019
	{"windows2022srvnext", 123, 123},                    // Server 2025
	{"windows1", 122, 122}, {"windowshyperv", 112, 112}, // 11 and 12; Hyper-V Server
	{"debian", 95, 96}, {"pardus", 95, 96}, {"ubuntu", 93, 94},
	{"rhel", 79, 80}, {"redhat", 79, 80}, {"centos", 106, 107}, {"oraclelinux", 108, 109},
	{"sles", 84, 85}, {"suse", 82, 83}, {"opensuse", 82, 83},
	{"nld", 87, 87}, {"oes", 86, 86}, {"sjds", 88, 88},
	{"mandr", 89, 90}, {"turbolinux", 91, 92},
	{"other24xlinux", 97, 98}, {"other26xlinux", 99, 100},
	{"freebsd", 42, 78}, {"solaris", 29, 81},
	{"darwin", 2, 2}, {"os2", 12, 12}, {"ecomstation", 110, 110},
	{"netware", 21, 21}, {"openserver", 26, 26}, {"unixware", 25, 25},
	{"vmkernel", 104, 104},
	{"otherguest", osOther, osOther64},
}

// linuxNames are parts of the guest ids of Linux systems that CIM has no number
// for.
var linuxNames = []string{"linux", "fedora", "coreos", "photon", "asianux", "fusionos"}

// guestOS returns the CIM OSType of a vSphere guest id.
func guestOS(guestID string) int {
	id := strings.ToLower(guestID)
	is64 := strings.Contains(id, "64")
	pick := func(bits32, bits64 int) int {
		if is64 {
			return bits64
		}
		return bits32
	}
	for _, r := range osRules {
		if strings.HasPrefix(id, r.prefix) {
			return pick(r.bits32, r.bits64)
		}
	}
	for _, name := range linuxNames {
		if strings.Contains(id, name) {
			return pick(36, 101)
		}
	}
	return pick(osOther, osOther64)
}
