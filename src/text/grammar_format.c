/* text/grammar_format.c: the formats of strings, as regexes for the whole string.  Each allows a subset of what its RFC
 * does where the RFC's language is not regular or nobody would write it. */
#include "text/grammar_schema.h"

#define DAY_31 "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
#define DAY_30 "(0[469]|11)-(0[1-9]|[12][0-9]|30)"
#define DAY_28 "02-(0[1-9]|1[0-9]|2[0-8])"
#define YEAR   "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
#define LEAP   "(([0-9]{2})(0[48]|[2468][048]|[13579][26])|([02468][48]|[13579][26]|[2468]0)00)"
#define DATE   "(" YEAR "-(" DAY_31 "|" DAY_30 "|" DAY_28 ")|" LEAP "-02-29)"
#define CLOCK  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?"
#define ZONE   "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define OCTET  "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4   "(" OCTET "\\.){3}" OCTET
#define H16    "[0-9A-Fa-f]{1,4}"
#define LS32   "(" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                     \
    "((" H16 ":){6}" LS32 "|::(" H16 ":){5}" LS32 "|(" H16 ")?::(" H16 ":){4}" LS32 "|((" H16 ":){0,1}" H16      \
    ")?::(" H16 ":){3}" LS32 "|((" H16 ":){0,2}" H16 ")?::(" H16 ":){2}" LS32 "|((" H16 ":){0,3}" H16 ")?::" H16 \
    ":" LS32 "|((" H16 ":){0,4}" H16 ")?::" LS32 "|((" H16 ":){0,5}" H16 ")?::" H16 "|((" H16 ":){0,6}" H16      \
    ")?::)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST  LABEL "(\\." LABEL "){0,3}"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define PATH  "(" PCHAR "|/)*"
#define TAIL  "(\\?(" PCHAR "|[/?])*)?(#(" PCHAR "|[/?])*)?"
/* A host is a name or dotted numbers: RFC 3986's reg-name.  Addresses in brackets are left out. */
#define AUTH                                                                                                      \
    "//(([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?([A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*)(:[0-9]{1,5})?(/" PATH \
    ")?"
#define URI     "[A-Za-z][A-Za-z0-9+.-]*:(" AUTH "|/?(" PCHAR PATH ")?)" TAIL
#define SEGMENT "([A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})+"
#define POINTER "(/([^/~]|~[01])*)*"

static const struct {
    const char *name, *regex;
} formats[] = {
    {"date", DATE},
    {"time", CLOCK ZONE},
    {"date-time", DATE "[Tt]" CLOCK ZONE},
    {"duration", "P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T([0-9]+H([0-9]+M([0-9]+S)?)?|"
                 "[0-9]+M([0-9]+S)?|[0-9]+S))?|T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))"},
    {"email", ATEXT "(\\." ATEXT ")*@" LABEL "(\\." LABEL "){1,3}"},
    {"idn-email", ATEXT "(\\." ATEXT ")*@" LABEL "(\\." LABEL "){1,3}"},
    {"hostname", HOST},
    {"idn-hostname", HOST},
    {"ipv4", IPV4},
    {"ipv6", IPV6},
    {"uri", URI},
    {"iri", URI},
    {"uri-reference",
     "(" URI "|" AUTH TAIL "|/(" PCHAR PATH ")?" TAIL "|" SEGMENT "(/" PATH ")?" TAIL "|" TAIL ")"},
    {"iri-reference",
     "(" URI "|" AUTH TAIL "|/(" PCHAR PATH ")?" TAIL "|" SEGMENT "(/" PATH ")?" TAIL "|" TAIL ")"},
    {"uri-template",
     "([A-Za-z0-9._~!$&()*+,;=:@/?#-]|%[0-9A-Fa-f]{2}|\\{[+#./;?&]?[A-Za-z0-9_]+(\\*|:[1-9][0-9]{0,3})?"
     "(,[A-Za-z0-9_]+(\\*|:[1-9][0-9]{0,3})?)*\\})*"},
    {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
    {"json-pointer", POINTER},
    {"relative-json-pointer", "(0|[1-9][0-9]*)(#|" POINTER ")"},
    {"byte", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"},
    /* Hints of OpenAPI about what a string means to people, not about its text. */
    {"binary", ""},
    {"password", ""},
    {"markdown", ""},
    {"html", ""},
    {"textarea", ""},
};

const char *vmt_schema_format(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(formats); i++) {
        if (vmt_str_eq_c(name, formats[i].name)) return formats[i].regex;
    }
    return NULL;
}
