/*
 * fbbars DEV: draws eight colour bars of equal width on a framebuffer and reads them back.
 *
 * The bars are, from left to right, white, yellow, cyan, green, magenta, red, blue, black. The
 * lowest eighth is a ramp from black to white. A screenshot shows at once whether the width, the
 * line length and the order of the colours are right. Single-threaded. Prints one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <linux/kd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const uint32_t bars[8] = {
	0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x000000,
};

static uint32_t field(uint32_t rgb, unsigned int shift, const struct fb_bitfield *f)
{
	uint32_t value = rgb >> shift & 0xff;

	return value >> (8 - f->length) << f->offset;
}

static void pixel_put(uint8_t *line, const struct fb_var_screeninfo *v, uint32_t x, uint32_t rgb)
{
	uint32_t raw = field(rgb, 16, &v->red) | field(rgb, 8, &v->green) | field(rgb, 0, &v->blue);
	uint32_t bytes = v->bits_per_pixel / 8;

	memcpy(line + (size_t)x * bytes, &raw, bytes);
}

static void line_fill(uint8_t *line, const struct fb_var_screeninfo *v, uint32_t y)
{
	for (uint32_t x = 0; x < v->xres; x++) {
		uint32_t ramp = x * 255 / (v->xres - 1);

		pixel_put(line, v, x,
			  y < v->yres - v->yres / 8 ? bars[x * 8 / v->xres] : ramp * 0x010101);
	}
}

/* Switches the console to graphics mode, so that it does not draw its cursor and messages over the
 * picture. */
static void console_off(void)
{
	int fd = open("/dev/tty0", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	ioctl(fd, KDSETMODE, KD_GRAPHICS);
	close(fd);
}

/*
 * Writes the whole picture at once: Linux 6.12 treats a write of exactly one full line as empty
 * (drm_fb_helper_memory_range_to_clip) and never shows it.
 */
static int draw(int fd, const struct fb_fix_screeninfo *f, const struct fb_var_screeninfo *v)
{
	size_t len = (size_t)v->yres * f->line_length;
	off_t pos = (off_t)v->yoffset * f->line_length;
	uint8_t *want = calloc(2, len);
	int err = 0;
	uint8_t *back;

	if (!want)
		return -ENOMEM;
	back = want + len;
	for (uint32_t y = 0; y < v->yres; y++)
		line_fill(want + (size_t)y * f->line_length, v, y);
	if (pwrite(fd, want, len, pos) != (ssize_t)len || pread(fd, back, len, pos) != (ssize_t)len)
		err = errno ? -errno : -EIO;
	else if (memcmp(want, back, len))
		err = -EBADE;
	free(want);
	return err;
}

int main(int argc, char **argv)
{
	struct fb_fix_screeninfo f;
	struct fb_var_screeninfo v;
	int fd, err;

	if (argc != 2) {
		fprintf(stderr, "usage: fbbars DEV\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FBIOGET_FSCREENINFO, &f) || ioctl(fd, FBIOGET_VSCREENINFO, &v)) {
		printf("%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (v.xres < 8 || v.yres < 8 || v.bits_per_pixel < 16 || v.bits_per_pixel > 32 ||
	    v.bits_per_pixel % 8 || v.red.length > 8 || v.green.length > 8 || v.blue.length > 8) {
		printf("%ux%u with %u bits per pixel: cannot draw\n", v.xres, v.yres,
		       v.bits_per_pixel);
		return 1;
	}
	console_off();
	err = draw(fd, &f, &v);
	if (err) {
		printf("%ux%u: %s\n", v.xres, v.yres,
		       err == -EBADE ? "pixels read back differ" : strerror(-err));
		return 1;
	}
	printf("%ux%u, %u bits per pixel, %u bytes per line, colour bars drawn\n", v.xres, v.yres,
	       v.bits_per_pixel, f.line_length);
	return 0;
}
