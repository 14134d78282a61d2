package vsphere

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The host of the data must show the certificate that vCenter states, also if
// vCenter's own is not verified.
func TestTrustInTheDataHost(t *testing.T) {
	t.Parallel()
	host := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer host.Close()
	cert := host.Certificate()
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	sha1 := soap.ThumbprintSHA1(cert)
	wrong := strings.Repeat("00:", 19) + "00"
	for _, c := range []struct {
		name string
		cfg  Config
		url  types.HttpNfcLeaseDeviceUrl
		ok   bool
	}{
		{"SHA-1", Config{}, types.HttpNfcLeaseDeviceUrl{SslThumbprint: sha1}, true},
		{"SHA-1 in lower case", Config{}, types.HttpNfcLeaseDeviceUrl{SslThumbprint: strings.ToLower(sha1)}, true},
		{"PEM", Config{}, types.HttpNfcLeaseDeviceUrl{SslCertificate: block, SslThumbprint: wrong}, true},
		{"wrong SHA-1", Config{}, types.HttpNfcLeaseDeviceUrl{SslThumbprint: wrong}, false},
		{"wrong SHA-1, insecure", Config{Insecure: true}, types.HttpNfcLeaseDeviceUrl{SslThumbprint: wrong}, false},
		{"no thumbprint at all", Config{Insecure: true}, types.HttpNfcLeaseDeviceUrl{SslThumbprint: "zz"}, false},
		{"nothing stated", Config{}, types.HttpNfcLeaseDeviceUrl{}, false},
		{"nothing stated, insecure", Config{Insecure: true}, types.HttpNfcLeaseDeviceUrl{}, true},
		{"vCenter's pin is not the host's", Config{Thumbprint: sha1}, types.HttpNfcLeaseDeviceUrl{Url: host.URL}, false},
		{"vCenter itself", Config{Thumbprint: sha1}, types.HttpNfcLeaseDeviceUrl{Url: "https://*/x"}, true},
	} {
		z := &frozen{Provider: &Provider{cfg: c.cfg}}
		tc, err := z.dataTrust(&c.url)
		if err == nil {
			transport := newTransport(tc, time.Minute)
			var resp *http.Response
			if resp, err = (&http.Client{Transport: transport}).Get(host.URL); err == nil {
				_ = resp.Body.Close()
			}
			transport.CloseIdleConnections()
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAddressOfTheDataHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ endpoint, url, want string }{
		{"vc.example", "https://esx.example/nfc/1/disk", "esx.example"},
		{"vc.example", "https://*/nfc/1/disk", "vc.example"},
		{"vc.example:8443", "https://*/nfc/1/disk", "vc.example:8443"},
		{"vc.example:8443", "https://*:902/nfc/1/disk", "vc.example:902"},
		{"vc.example", "http://esx.example/nfc/1/disk", ""},
		{"vc.example", "::", ""},
	} {
		l, err := newLogin(Config{URL: c.endpoint, Username: "u"}, nil, &Observer{})
		if err != nil {
			t.Fatal(err)
		}
		z := &frozen{Provider: &Provider{login: l}}
		at, err := z.address(&types.HttpNfcLeaseDeviceUrl{Url: c.url})
		if (err != nil) != (c.want == "") || err == nil && at.Host != c.want {
			t.Errorf("%s at %s: %v, %v", c.url, c.endpoint, at, err)
		}
	}
}
