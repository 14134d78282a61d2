package daemon

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const envPrefix = "HYPERVISORD_"

// overlay sets the keys that HYPERVISORD_SECTION__KEY variables name. An unknown
// name is an error: a misspelt setting must not be ignored.
func overlay(c *Config, environ []string) error {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		key, found := strings.CutPrefix(name, envPrefix)
		if !found {
			continue
		}
		field, ok := find(reflect.ValueOf(c).Elem(), strings.Split(strings.ToLower(key), "__"))
		if !ok {
			return fault.Newf(fault.Invalid, "HX-CONF-005", "`hypervisord config show` prints every key; sections are joined by two underscores",
				"the environment variable %s names no key of the configuration", name)
		}
		if err := set(field, value); err != nil {
			// The value is left out: it may be a password.
			return &fault.Error{Kind: fault.Invalid, Code: "HX-CONF-006", Err: err,
				Msg: fmt.Sprintf("the environment variable %s has a value of the wrong type (it wants %s)", name, field.Type()), Fix: "correct it"}
		}
	}
	return nil
}

// find walks the yaml names.
func find(v reflect.Value, path []string) (reflect.Value, bool) {
	if len(path) == 0 {
		return v, v.Kind() != reflect.Struct || isText(v)
	}
	if v.Kind() != reflect.Struct {
		return v, false
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == path[0] {
			return find(v.Field(i), path[1:])
		}
	}
	return v, false
}

func isText(v reflect.Value) bool {
	_, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	return ok
}

func set(v reflect.Value, s string) error {
	if t, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return t.UnmarshalText([]byte(s))
	}
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = s
	case *[]string:
		*p = strings.Split(s, ",")
	case *[]int:
		*p = nil
		for text := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				return err
			}
			*p = append(*p, n)
		}
	case *bool:
		b, err := strconv.ParseBool(s)
		*p = b
		return err
	case *int:
		n, err := strconv.Atoi(s)
		*p = n
		return err
	case *time.Duration:
		d, err := time.ParseDuration(s)
		*p = d
		return err
	default:
		return fmt.Errorf("a key of type %s cannot be set by the environment", v.Type())
	}
	return nil
}
