package vsphere

import (
	"context"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"go.opentelemetry.io/otel/attribute"

	"github.com/hypersdk/hypersdk/internal/tracing"
)

// traced begins the span of a SOAP call, by the name of its method. Calls that
// only say that somebody is still there have none: there are thousands of them.
func traced(ctx context.Context, req soap.HasFault) (context.Context, func(error)) {
	switch req.(type) {
	case *methods.CurrentTimeBody, *methods.HttpNfcLeaseProgressBody:
		return tracing.Detach(ctx), func(error) {}
	}
	method := strings.TrimSuffix(reflect.TypeOf(req).Elem().Name(), "Body")
	ctx, span := tracing.Client(ctx, "vsphere "+method, attribute.String("rpc.system", "soap"), attribute.String("rpc.method", method))
	return ctx, span.End
}
