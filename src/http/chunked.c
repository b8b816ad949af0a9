#include "http/chunked.h"

#define DIGITS_MAX 16 /* leading zeros count: there is no reason for them */

enum state {
    SIZE,      /* hex digits */
    EXTENSION, /* after ';' */
    SIZE_LF,   /* the CR was seen */
    DATA,      /* left_bytes of it */
    DATA_CR,   /* the chunk's bytes are all there */
    DATA_LF,
    LINE_START, /* of the trailer section */
    TRAILER,    /* inside a field line */
    TRAILER_LF,
    LAST_LF, /* the empty line's CR was seen */
    FINISHED,
    BAD,
};

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static enum state on_size(vmt_chunked *c, uint8_t byte) {
    int digit = hex_digit(byte);
    if (digit >= 0) {
        if (c->num_digits == DIGITS_MAX) return BAD;
        c->num_digits++;
        c->left_bytes = c->left_bytes << 4 | (uint64_t)digit;
        return SIZE;
    }
    if (c->num_digits == 0) return BAD;
    if (byte == '\r') return SIZE_LF;
    return byte == ';' ? EXTENSION : BAD;
}

/* A byte of an extension or a trailer line: go on in state here, or at CR in state after. */
static enum state on_meta(vmt_chunked *c, uint8_t byte, enum state here, enum state after) {
    if (byte == '\r') return after;
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return BAD;
    return ++c->meta_bytes > VMT_CHUNKED_META_BYTES_MAX ? BAD : here;
}

static enum state on_byte(vmt_chunked *c, uint8_t byte) {
    switch ((enum state)c->state) {
    case SIZE: return on_size(c, byte);
    case EXTENSION: return on_meta(c, byte, EXTENSION, SIZE_LF);
    case SIZE_LF: return byte != '\n' ? BAD : c->left_bytes > 0 ? DATA : LINE_START;
    case DATA_CR: return byte == '\r' ? DATA_LF : BAD;
    case DATA_LF: c->num_digits = 0; return byte == '\n' ? SIZE : BAD;
    case LINE_START:
        if (byte == '\r') return LAST_LF;
        return byte == ' ' || byte == '\t' || byte == ':' ? BAD : on_meta(c, byte, TRAILER, BAD);
    case TRAILER: return on_meta(c, byte, TRAILER, TRAILER_LF);
    case TRAILER_LF: return byte == '\n' ? LINE_START : BAD;
    case LAST_LF: return byte == '\n' ? FINISHED : BAD;
    case DATA:
    case FINISHED:
    case BAD: break;
    }
    return BAD;
}

vmt_chunked_result vmt_chunked_next(vmt_chunked *c, vmt_str in, size_t *used, vmt_str *data) {
    VMT_ASSERT(c->state != FINISHED && c->state != BAD);
    *data = (vmt_str){0};
    for (size_t i = 0; i < in.len;) {
        if (c->state == DATA) {
            size_t len = (size_t)VMT_MIN(c->left_bytes, (uint64_t)(in.len - i));
            *data = vmt_str_slice(in, i, i + len);
            c->left_bytes -= len;
            if (c->left_bytes == 0) c->state = DATA_CR;
            *used = i + len;
            return VMT_CHUNKED_DATA;
        }
        c->state = (uint8_t)on_byte(c, (uint8_t)in.ptr[i++]);
        *used = i;
        if (c->state == FINISHED) return VMT_CHUNKED_DONE;
        if (c->state == BAD) return VMT_CHUNKED_BAD;
    }
    *used = in.len;
    return VMT_CHUNKED_MORE;
}
