package webhook

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/seal"
)

// sealedMark begins the fragment of a URL that is sealed: https://HOST/#sealed:BOX.
// Its host can be shown as that of any other.
const sealedMark = "sealed:"

// SealURL hides all of a tenant's URL but its host. One that is sealed stays.
func SealURL(k *seal.Key, tenant, text string) string {
	u, err := url.Parse(text)
	if err != nil || text == "" || strings.HasPrefix(u.Fragment, sealedMark) {
		return text
	}
	box := base64.RawURLEncoding.EncodeToString(k.Seal([]byte(text), aboutURL(tenant)))
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/", Fragment: sealedMark + box}).String()
}

// OpenURL is the reverse of SealURL. A URL that is not sealed stays. Kind Corrupt.
func OpenURL(k *seal.Key, tenant, text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return text, nil //nolint:nilerr // it is not sealed; who calls it says what is wrong
	}
	box, ok := strings.CutPrefix(u.Fragment, sealedMark)
	if !ok {
		return text, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(box)
	if err != nil {
		return "", fault.Wrap(err, fault.Corrupt, "HX-HOOK-039", "the webhook's URL is sealed and damaged", "give the URL itself")
	}
	plain, err := k.Open(raw, aboutURL(tenant))
	return string(plain), err
}

func aboutURL(tenant string) string { return "url\x00" + tenant }
