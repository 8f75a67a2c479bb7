// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A place for U-Boot's redundant environment: two copies, raw, on the first virtio disk. U-Boot 2023.01
 * has no such place; scripts/rig/uboot.sh builds this file in the stead of env/mmc.c and takes over its
 * options CONFIG_ENV_OFFSET and CONFIG_ENV_OFFSET_REDUND. Only the reading and writing of blocks is here:
 * which copy counts, checksums and serial numbers are U-Boot's own (env/common.c).
 */

#include <common.h>
#include <blk.h>
#include <dm.h>
#include <env.h>
#include <env_internal.h>
#include <init.h>
#include <memalign.h>
#include <virtio.h>
#include <asm/global_data.h>

DECLARE_GLOBAL_DATA_PTR;

static const u32 places[2] = { CONFIG_ENV_OFFSET, CONFIG_ENV_OFFSET_REDUND };

static struct blk_desc *env_disk(void)
{
	pci_init();
	virtio_init();
	return blk_get_devnum_by_uclass_id(UCLASS_VIRTIO, 0);
}

static int env_block_load(void)
{
	ALLOC_CACHE_ALIGN_BUFFER(char, one, CONFIG_ENV_SIZE);
	ALLOC_CACHE_ALIGN_BUFFER(char, two, CONFIG_ENV_SIZE);
	struct blk_desc *disk = env_disk();
	ulong n;
	int failed_one, failed_two;

	if (!disk) {
		env_set_default("no disk", 0);
		return -ENODEV;
	}
	n = CONFIG_ENV_SIZE / disk->blksz;
	failed_one = blk_dread(disk, places[0] / disk->blksz, n, one) != n;
	failed_two = blk_dread(disk, places[1] / disk->blksz, n, two) != n;
	return env_import_redund(one, failed_one, two, failed_two, H_EXTERNAL);
}

static int env_block_save(void)
{
	ALLOC_CACHE_ALIGN_BUFFER(env_t, env, 1);
	struct blk_desc *disk = env_disk();
	int copy = gd->env_valid == ENV_VALID ? 1 : 0;
	ulong n;
	int ret;

	if (!disk)
		return -ENODEV;
	ret = env_export(env);
	if (ret)
		return ret;
	n = CONFIG_ENV_SIZE / disk->blksz;
	if (blk_dwrite(disk, places[copy] / disk->blksz, n, env) != n)
		return -EIO;
	gd->env_valid = copy ? ENV_REDUND : ENV_VALID;
	printf("copy %d... ", copy);
	return 0;
}

U_BOOT_ENV_LOCATION(mmc) = {
	.location	= ENVL_MMC,
	ENV_NAME("virtio")
	.load		= env_block_load,
	.save		= ENV_SAVE_PTR(env_block_save),
};
