package ova

import "testing"

// TestGuestOS checks the order of the rules; the whole table is compared with
// govmomi's in the folder interop.
func TestGuestOS(t *testing.T) {
	for id, want := range map[string]int{
		"debian12_64Guest": 96, "debian12Guest": 95, "ubuntu64Guest": 94, "rhel9_64Guest": 80, "other24xLinuxGuest": 97,
		"other5xLinux64Guest": 101, "otherLinuxGuest": 36, "rockylinux_64Guest": 101, "vmwarePhoton64Guest": 101, "fedoraGuest": 36,
		"windows9_64Guest": 120, "windows9Server64Guest": 116, "windows2019srv_64Guest": 121, "windows2019srvNext_64Guest": 123,
		"windows11_64Guest": 122, "windows8_64Guest": 114, "windows8Guest": 113, "winXPProGuest": 67, "winXPPro64Guest": 71,
		"winXPHomeGuest": 67, "WINNETSTANDARD64GUEST": 70, "freebsd14_64Guest": 78, "otherGuest": osOther, "otherGuest64": osOther64,
		"": osOther, "new64Guest": osOther64,
	} {
		if got := guestOS(id); got != want {
			t.Errorf("%q: %d, want %d", id, got, want)
		}
	}
}
