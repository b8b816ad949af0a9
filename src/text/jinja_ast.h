/* text/jinja_ast.h: a template's text as tokens, and as a tree.
 *
 * One node type serves all: the table below says which fields each kind uses.  The tree is immutable, lives in the
 * template's arena, and is at most VMT_TEMPLATE_DEPTH_MAX high, so that walking it may recurse.  Long chains (a + b +
 * c, elif after elif) are lists and not towers. */
#ifndef VMT_TEXT_JINJA_AST_H
#define VMT_TEXT_JINJA_AST_H

#include "text/chat_template.h"
#include "text/jinja_value.h"

typedef enum vmt_jtoken_type {
    VMT_JT_EOF,
    VMT_JT_DATA,
    VMT_JT_VAR_BEGIN,
    VMT_JT_VAR_END,
    VMT_JT_BLOCK_BEGIN,
    VMT_JT_BLOCK_END,
    VMT_JT_NAME,
    VMT_JT_STRING,
    VMT_JT_INT,
    VMT_JT_FLOAT,
    VMT_JT_ADD,
    VMT_JT_SUB,
    VMT_JT_MUL,
    VMT_JT_DIV,
    VMT_JT_FLOORDIV,
    VMT_JT_MOD,
    VMT_JT_POW,
    VMT_JT_TILDE,
    VMT_JT_LBRACKET,
    VMT_JT_RBRACKET,
    VMT_JT_LPAREN,
    VMT_JT_RPAREN,
    VMT_JT_LBRACE,
    VMT_JT_RBRACE,
    VMT_JT_EQ,
    VMT_JT_NE,
    VMT_JT_GT,
    VMT_JT_GE,
    VMT_JT_LT,
    VMT_JT_LE,
    VMT_JT_IN,     /* made by the parser, as an operator */
    VMT_JT_NOT_IN, /* likewise */
    VMT_JT_ASSIGN,
    VMT_JT_DOT,
    VMT_JT_COLON,
    VMT_JT_PIPE,
    VMT_JT_COMMA,
    VMT_JT_SEMICOLON,
} vmt_jtoken_type;

typedef struct vmt_jtoken {
    vmt_jtoken_type type;
    uint32_t line;
    vmt_str text; /* as written; of DATA and STRING the value */
    int64_t i;
    double f;
} vmt_jtoken;

/* Gives tokens one by one; white space control is applied.  Borrows source and arena. */
typedef struct vmt_jlexer {
    vmt_arena *arena;
    vmt_str source; /* newlines are \n already */
    size_t pos;
    uint32_t line;
    size_t line_pos; /* where line was counted to */
    enum { VMT_JLEX_ROOT, VMT_JLEX_BLOCK, VMT_JLEX_VARIABLE, VMT_JLEX_RAW } state;
    bool starts_line; /* the last match ended with a newline */
    bool has_pending; /* a tag opened after the data that was just given */
    vmt_jtoken pending;
    char brackets[VMT_TEMPLATE_DEPTH_MAX]; /* open ones, as their closing character */
    uint32_t num_brackets;
} vmt_jlexer;

/* Newlines become \n and one trailing newline goes, as jinja2 has it. */
vmt_status vmt_jlexer_init(vmt_jlexer *lexer, vmt_arena *arena, vmt_str source, vmt_err *err);
vmt_status vmt_jlexer_next(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err);
/* "chat template, line N: ..." */
vmt_status vmt_jsyntax(vmt_err *err, uint32_t line, vmt_status code, const char *fmt, ...) VMT_PRINTF(4, 5);

typedef enum vmt_jnode_type {
    /* expressions */
    VMT_JN_CONST,   /* value */
    VMT_JN_NAME,    /* id, name */
    VMT_JN_GETATTR, /* a . name */
    VMT_JN_GETITEM, /* a [ b ] */
    VMT_JN_SLICE,   /* a : b : c, each may be NULL; only as b of GETITEM */
    VMT_JN_CALL,    /* a ( kids, then KEYWORDs, *b, **c ) */
    VMT_JN_FILTER,  /* a | builtin ( as CALL ); a NULL: the block's text.  name; builtin NULL: unknown */
    VMT_JN_TEST,    /* a is builtin ( as CALL ) */
    VMT_JN_NOT,     /* a */
    VMT_JN_NEG,     /* a */
    VMT_JN_POS,     /* a */
    VMT_JN_AND,     /* kids */
    VMT_JN_OR,      /* kids */
    VMT_JN_MATH,    /* kids are OPERANDs, from left to right */
    VMT_JN_CONCAT,  /* kids */
    VMT_JN_COMPARE, /* kids are OPERANDs */
    VMT_JN_COND,    /* b if a else c; c may be NULL */
    VMT_JN_LIST,    /* kids */
    VMT_JN_TUPLE,   /* kids; also a target */
    VMT_JN_DICT,    /* kids are PAIRs */
    VMT_JN_PAIR,    /* a : b */
    VMT_JN_KEYWORD, /* name = a */
    VMT_JN_OPERAND, /* op (a token type), a */
    VMT_JN_NSREF,   /* id . name, a target */
    VMT_JN_PARAM,   /* id, name; a is the default or NULL */
    /* statements */
    VMT_JN_DATA,         /* value */
    VMT_JN_PRINT,        /* a */
    VMT_JN_IF,           /* if a: kids; alt is the else branch, or one more IF with op 1: elif */
    VMT_JN_FOR,          /* for a in b if c: kids; else: alt */
    VMT_JN_SET,          /* a = b */
    VMT_JN_SET_BLOCK,    /* a = kids rendered, through the filters b if not NULL */
    VMT_JN_MACRO,        /* id, name, params alt, kids, op: vmt_juses */
    VMT_JN_CALL_BLOCK,   /* call a with caller(params alt) = kids; op */
    VMT_JN_FILTER_BLOCK, /* kids through the filters a */
    VMT_JN_WITH,         /* PAIRs in alt, kids */
    VMT_JN_SCOPE,        /* kids, in a scope of their own: generation, block */
    VMT_JN_BREAK,
    VMT_JN_CONTINUE,
} vmt_jnode_type;

/* The special names a macro's body uses. */
enum vmt_juses { VMT_JUSES_CALLER = 1, VMT_JUSES_VARARGS = 2, VMT_JUSES_KWARGS = 4 };

struct vmt_jnode {
    uint8_t type; /* vmt_jnode_type */
    uint8_t op;
    uint16_t height;
    uint32_t line;
    uint32_t id; /* of the name: an index into the template's names */
    uint32_t num_kids;
    vmt_jnode *next; /* sibling */
    vmt_jnode *kids, *alt;
    vmt_jnode *a, *b, *c;
    const vmt_jbuiltin *builtin;
    vmt_str name;
    vmt_jval value;
};

/* Names that code refers to; the parser gives them these ids. */
enum vmt_jname_id { VMT_JNAME_LOOP, VMT_JNAME_CALLER, VMT_JNAME_VARARGS, VMT_JNAME_KWARGS, VMT_JNAMES_FIXED };

typedef struct vmt_jtext {
    struct vmt_jtext *next;
    vmt_str text;
} vmt_jtext;

struct vmt_chat_template {
    vmt_arena *arena;
    vmt_jnode *body;
    vmt_str *names; /* variables, by id */
    uint32_t num_names;
    vmt_jtext *texts; /* string constants, text between tags, attribute names */
    bool wants_parts;
};

/* Fills body, names and texts; the arena is there already. */
vmt_status vmt_jparse(vmt_chat_template *tmpl, vmt_str source, vmt_err *err);
/* jinja_parts.c: does the tree loop over a message's content? */
bool vmt_jwants_parts(const vmt_chat_template *tmpl);

#endif
