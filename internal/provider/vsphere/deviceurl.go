package vsphere

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// deviceKey is how a lease names a device: /vm-42/ParaVirtualSCSIController0:1
// is unit 1 on the paravirtual SCSI controller with bus number 0.
var deviceKey = regexp.MustCompile(`/([A-Za-z]+)(\d+):(\d+)$`)

// controllerClasses maps the class names in device keys.
var controllerClasses = map[string]string{
	"VirtualLsiLogicController":    lsilogic,
	"VirtualSCSIController":        lsilogic,
	"VirtualLsiLogicSASController": lsisas,
	"ParaVirtualSCSIController":    pvscsi,
	"VirtualBusLogicController":    buslogic,
	"VirtualAHCIController":        sata,
	"VirtualSATAController":        sata,
	"VirtualNVMEController":        nvme,
	"VirtualIDEController":         ide,
}

// urlOf finds the stream of a disk. A VM with one disk has one stream. It does
// not guess by order: two disks of one size could be swapped without a trace.
func (l *lease) urlOf(v *volume) (*types.HttpNfcLeaseDeviceUrl, error) {
	var disks []*types.HttpNfcLeaseDeviceUrl
	for i := range l.info.DeviceUrl {
		u := &l.info.DeviceUrl[i]
		if !isTrue(u.Disk) && (u.Disk != nil || !strings.HasSuffix(u.TargetId, ".vmdk")) {
			continue
		}
		disks = append(disks, u)
		part := deviceKey.FindStringSubmatch(u.Key)
		if part != nil && controllerClasses[part[1]] == v.Controller &&
			part[2] == strconv.Itoa(int(v.Bus)) && part[3] == strconv.Itoa(int(v.Unit)) {
			return u, nil
		}
	}
	if len(disks) == 1 && l.disks == 1 {
		return disks[0], nil
	}
	return nil, fault.Newf(fault.Unprocessable, "HX-VSPHERE-074", "report this with the output of: govc export.ovf -debug",
		"the export of the VM has %d streams, but none that is named after %s (%s %d:%d)", len(disks), v.Label, v.Controller, v.Bus, v.Unit)
}

// fetch opens a URL of a lease. It waits and asks again while the host is busy.
// The caller closes the body and calls done.
func (z *frozen) fetch(ctx context.Context, u *types.HttpNfcLeaseDeviceUrl) (resp *http.Response, done func(), err error) {
	at, err := z.address(u)
	if err != nil {
		return nil, nil, err
	}
	tc, err := z.dataTrust(u)
	if err != nil {
		return nil, nil, err
	}
	transport := newTransport(tc, 0)
	client := &http.Client{Transport: transport, CheckRedirect: stay}
	wait := backoff{first: 200 * time.Millisecond, most: 5 * time.Second}
	for n := 1; ; n++ {
		var again bool
		resp, again, err = z.get(ctx, client, at)
		if err == nil {
			return resp, transport.CloseIdleConnections, nil
		}
		if ctx.Err() != nil || !again || n == tries {
			return nil, nil, classify(ctx, err, "read "+z.machine.Path+" by NFC")
		}
		z.log.InfoContext(ctx, "an NFC stream is asked for again", "host", at.Host, "error", err)
		z.observer.retry("nfc")
		if err := wait.sleep(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// get makes one request; again tells whether an error may pass while the lease
// lives.
func (z *frozen) get(ctx context.Context, client *http.Client, at *url.URL) (resp *http.Response, again bool, err error) {
	req, err := http.NewRequest(http.MethodGet, at.String(), http.NoBody) //nolint:noctx // send sets it
	if err != nil {
		return nil, false, fmt.Errorf("make an NFC request: %w", err)
	}
	resp, err = send(ctx, client, req, z.cfg.IdleTimeout)
	if err != nil {
		err = classify(ctx, err, "connect to "+at.Host+" for the data")
		return nil, fault.KindOf(err).Retryable(), err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, false, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, false, fault.New(fault.Unavailable, "HX-VSPHERE-072", "the NFC lease has ended on "+at.Host, "the disk is read again from its start")
	}
	err = status(resp, "the NFC stream")
	return nil, fault.KindOf(err).Retryable(), err
}

// address puts the host into a device URL: "*" is the server that the SDK is
// reached at, with its port unless the URL states one.
func (z *frozen) address(u *types.HttpNfcLeaseDeviceUrl) (*url.URL, error) {
	at, err := url.Parse(u.Url)
	if err != nil || at.Scheme != scheme {
		return nil, fault.New(fault.Unprocessable, "HX-VSPHERE-075",
			"vCenter gives a URL for the data that is not https", "look at the host's proxy settings")
	}
	if at.Hostname() == "*" {
		port := at.Port()
		at.Host = z.login.endpoint.Host
		if port != "" {
			at.Host = z.login.endpoint.Hostname() + ":" + port
		}
	}
	return at, nil
}

// dataTrust is how to verify the host of a device URL: by the certificate or
// the thumbprint that the trusted vCenter states, also when vCenter itself is
// not verified; without a statement, like vCenter.
func (z *frozen) dataTrust(u *types.HttpNfcLeaseDeviceUrl) (*tls.Config, error) {
	cfg := z.cfg
	if !strings.Contains(u.Url, "://*") {
		cfg.Thumbprint = "" // vCenter's own
	}
	tc, err := cfg.trust()
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode([]byte(u.SslCertificate)); block != nil {
		sum := sha256.Sum256(block.Bytes)
		return pin(tc, hex.EncodeToString(sum[:]))
	}
	if u.SslThumbprint != "" {
		return pin(tc, u.SslThumbprint)
	}
	return tc, nil
}
