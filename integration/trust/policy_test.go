package trust_test

import (
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestSigningPolicies has the toolkit read policies of many kinds, each of an
// authority of its own that signs for /O=Test/CN=Ada. CA stands for its DN.
func TestSigningPolicies(t *testing.T) {
	ca := gsitest.NewCA(t)
	f := newForger(t)
	server := globus.NewServer(t, globus.Options{CA: ca})
	const signs = "access_id_CA X509 'CA'\npos_rights globus CA:sign\n"
	kinds := []struct {
		name, policy string
		wanted       bool // ours
	}{
		{"usual", signs + "cond_subjects globus '\"/O=Test/*\"'\n", true},
		{"one of several patterns", signs + "cond_subjects globus '\"/O=A/*\" \"/O=Test/*\" \"/O=B/*\"'\n", true},
		{"none of several patterns", signs + "cond_subjects globus '\"/O=A/*\" \"/O=B/*\"'\n", false},
		{"without double quotes", signs + "cond_subjects globus '/O=Test/*'\n", true},
		{"without any quotes", signs + "cond_subjects globus /O=Test/*\n", true},
		{"exact", signs + "cond_subjects globus '\"/O=Test/CN=Ada\"'\n", true},
		{"case", signs + "cond_subjects globus '\"/o=TEST/cn=*\"'\n", true},
		{"asterisk in the middle", signs + "cond_subjects globus '\"/O=*/CN=Ada\"'\n", true},
		{"two asterisks", signs + "cond_subjects globus '\"/O=*/CN=*\"'\n", false},
		{"asterisk for nothing", signs + "cond_subjects globus '\"/O=Test/CN=Ada*\"'\n", false},
		{"question mark", signs + "cond_subjects globus '\"/O=Test/CN=Ad?\"'\n", false},
		{"everything", signs + "cond_subjects globus '\"*\"'\n", true},
		{"no condition", signs, true},
		{"two conditions, one met", signs + "cond_subjects globus '\"/O=Test/*\"'\ncond_subjects globus '\"/O=A/*\"'\n", false},
		{"unknown condition", signs + "cond_phase_of_moon globus '\"full\"'\n", false},
		{"second set of rights", signs + "cond_subjects globus '\"/O=A/*\"'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Test/*\"'\n", true},
		{"second entry of the authority", signs + "cond_subjects globus '\"/O=A/*\"'\n" + signs + "cond_subjects globus '\"/O=Test/*\"'\n", true},
		{"after another authority", strings.Replace(signs, "'CA'", "'/CN=Other'", 1) + "cond_subjects globus '\"/O=A/*\"'\n" + signs + "cond_subjects globus '\"/O=Test/*\"'\n", true},
		{"another authority's", strings.Replace(signs, "'CA'", "'/CN=Other'", 1) + "cond_subjects globus '\"/O=Test/*\"'\n", false},
		{"rights denied", strings.Replace(signs, "pos_rights", "neg_rights", 1) + "cond_subjects globus '\"/O=Test/*\"'\n", false},
		{"another right", strings.Replace(signs, "CA:sign", "CA:look", 1) + "cond_subjects globus '\"/O=Test/*\"'\n", false},
		{"another kind of principal", strings.Replace(signs, "access_id_CA", "access_id_USER", 1) + "cond_subjects globus '\"/O=Test/*\"'\n", false},
		{"anybody", "access_id_ANYBODY\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Test/*\"'\n", true},
		{"rights of the last principal", "access_id_CA X509 'CA'\naccess_id_CA X509 '/CN=Other'\npos_rights globus CA:sign\n", false},
		{"comments", "# a policy\n" + signs + "# whose\ncond_subjects globus '\"/O=Test/*\"'\n# end\n", true},
		{"blank lines and tabs", "\n\n\taccess_id_CA\tX509\t'CA'\n\n pos_rights\tglobus\tCA:sign\n\ncond_subjects\tglobus\t'\"/O=Test/*\"'\n\n", true},
		{"carriage returns", strings.ReplaceAll(signs+"cond_subjects globus '\"/O=Test/*\"'\n", "\n", "\r\n"), true},
		{"open quotation", signs + "cond_subjects globus '\"/O=Test/*\"\n", false},
		{"unknown word", signs + "cond_subjects globus '\"/O=Test/*\"'\nand so forth\n", false},
		{"empty", "\n", false},
	}
	people := make([]*gsi.Credential, len(kinds))
	for i, k := range kinds {
		authority := f.authority(nil, pkix.Name{Organization: []string{"Policies"}, CommonName: fmt.Sprintf("CA %d", i)})
		f.trusted(ca.Dir, authority, "")
		f.write(filepath.Join(ca.Dir, f.hash(authority)+".signing_policy"), []byte(strings.ReplaceAll(k.policy, "'CA'", "'"+gsi.DN(authority.Chain[0].RawSubject)+"'")))
		people[i] = f.end(authority, pkix.Name{Organization: []string{"Test"}, CommonName: "Ada"})
	}
	trust, err := gsi.LoadTrust(ca.Dir)
	must(t, err)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "POLICY\tGRIDFERRY\tGLOBUS")
	for i, k := range kinds {
		_, err := trust.Verify(people[i].Chain, time.Now())
		ours := ""
		if err != nil {
			ours = "refuses"
		}
		if (err == nil) != k.wanted {
			t.Errorf("%s: %v, which is not as it should be", k.name, err)
		}
		_, err = knock(t, server.Addr(), people[i], ca.Trust())
		theirs := verdict(t, err)
		if ours == "" && theirs != "" {
			t.Errorf("%s: accepted here, and refused by Globus: %s", k.name, theirs)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.name, short(ours), short(strings.ReplaceAll(theirs, ca.Dir+"/", "")))
	}
	must(t, w.Flush())
	t.Logf("verdicts:\n%s", table.String())
}
